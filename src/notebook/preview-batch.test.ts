import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";

import { previewBatch } from "./preview-batch.ts";

test("the first batch of a configuration, the answers marked", async (context) => {
  const dir = mkdtempSync(join(tmpdir(), "forge-preview-"));
  context.after(() => rmSync(dir, { recursive: true }));
  const fixture = join(import.meta.dirname, "../../test/fixtures/data/qwen-style.json.gz");
  const { tokenizer, config } = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as Record<
    string,
    object
  >;
  const chat_template = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>\n{% endfor %}";
  writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(tokenizer));
  writeFileSync(join(dir, "config.json"), "{}");
  writeFileSync(join(dir, "tokenizer_config.json"), JSON.stringify({ ...config, chat_template }));
  const row = (i: number): string =>
    JSON.stringify({ instruction: `Say ${i}`, input: "", output: `It is ${i}.` });
  writeFileSync(join(dir, "rows.jsonl"), [0, 1, 2, 3].map(row).join("\n"));

  const preview = await previewBatch(
    {
      model: { hf_assets_path: dir },
      training: { seq_len: 256, datasets: [{ path: join(dir, "rows.jsonl"), format: "instruction" }] },
    },
    { documents: 1 },
  );
  const { "text/html": html, "text/plain": text } = preview.bundle;
  assert.match(text!, /^1 sequence of 256 positions/);
  assert.match(text!, /«It is \d\.<\|im_end\|>»/);
  assert.match(text!, /… and \d+ more documents/);
  assert.match(html!, /<mark title="position \d+, id \d+ I, label \d+">I<\/mark>/);
  assert.equal(html!.match(/<pre>/g)!.length, 1);
  await assert.rejects(previewBatch({ model: { hf_assets_path: dir } }, { documents: "two" as never }), {
    name: "UserError",
    message: 'documents: expected a whole number of at least 1, found "two"',
  });
});
