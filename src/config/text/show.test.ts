import assert from "node:assert/strict";
import { test } from "node:test";

import { Config } from "../config.ts";

const bundleOf = (config: Config): Record<string, string> =>
  (config as unknown as Record<symbol, () => Record<string, string>>)[Symbol.for("Jupyter.display")]!();

test("a notebook shows a configuration's YAML, what differs from the defaults in bold", () => {
  const config = Config.create({
    job: { description: "one\ntwo: # default: <3>" },
    model: { hf_assets_path: "a # default: b" },
    training: { steps: 7, datasets: [{ path: "rows.jsonl" }] },
  });
  const { "text/html": html, "text/plain": text } = bundleOf(config);
  assert.equal(text, config.toYaml({ markDefaults: true }));
  assert.match(html!, /^<div>4 of \d+ keys differ/);
  const pre = html!.slice(html!.indexOf("<pre"));
  const bold = [...pre.matchAll(/<b>(.*?)<\/b>/g)].map(([, line]) => line!.trim());
  assert.deepEqual(bold, [
    "description: |-",
    "one",
    "two: # default: &lt;3&gt;",
    "hf_assets_path: &quot;a # default: b&quot;",
    "steps: 7",
    "datasets:",
    "- path: rows.jsonl",
    "subset: null",
    "split: train",
    "format: auto",
    "columns: {}",
  ]);
  // Without its tags it is the YAML.
  const plain = pre
    .replaceAll(/<[^>]+>/g, "")
    .replaceAll("&quot;", '"')
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">");
  assert.equal(`${plain}\n`, text);
});
