// `forge export` as a user types it.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { importGguf, openGguf } from "../../src/gguf/index.ts";
import { forge, makePlace } from "../cli/forge.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-export-command-"));
after(() => rmSync(work, { recursive: true }));

test("writes each type, says what it costs on held-out rows, and a Modelfile", async () => {
  const model = join(work, "small");
  importGguf(join(import.meta.dirname, "fixtures/qwen2.gguf"), model);
  const rows = join(work, "rows.jsonl");
  writeFileSync(rows, `${JSON.stringify({ text: "The dog sees the hat and the cup." })}\n`.repeat(2));
  const out = join(work, "out");
  const args = ["export", model, "--type", "q8_0,F16", "--output-dir", out, "--data", rows, "--ollama"];
  const { stdout, stderr, code } = await forge(args);
  assert.equal(code, 0, stderr);
  assert.match(
    stdout,
    /small: perplexity [\d.]+ on .*rows\.jsonl\n.*small-Q8_0\.gguf: 0\.\d MB, [\d.]+ bits a weight, perplexity [\d.]+\n {2}parity {6}largest difference of logits .*\n.*small-F16\.gguf: /,
  );
  assert.match(
    readFileSync(join(out, "Modelfile"), "utf8"),
    /^FROM \.\/small-F16\.gguf\n(.|\n)*PARAMETER stop "<\|im_end\|>"\n/,
  );

  const again = await forge(args);
  assert.equal(again.code, 2);
  assert.match(
    again.stderr,
    /small-Q8_0\.gguf: is there already\. Remove it, or give another --output-dir or --name/,
  );
  const wrong = await forge(["export", model, "--type", "Q9", "--output-dir", out]);
  assert.notEqual(wrong.code, 0);
  assert.match(wrong.stderr, /expected one of F32, F16, BF16, Q8_0/);
});

test("a run writes them at its end, and tells before its start what it can't write", async () => {
  const { folder, config } = makePlace();
  const args = ["sft", "--config", config, "training.steps=1", "checkpoint.export=[gguf:Q8_0]"];
  const { stdout, stderr, code } = await forge(args);
  assert.equal(code, 0, stderr);
  const file = /(\S*step-1-gguf\/model-Q8_0\.gguf): 0\.\d MB, .*greedy tokens agree/.exec(
    stdout + stderr,
  )?.[1];
  assert.ok(file, stdout + stderr);
  using written = openGguf(file);
  assert.equal(written.metadata.get("general.file_type"), 7);

  const other = await forge([
    ...args,
    `model.hf_assets_path=${join(import.meta.dirname, "../fixtures/models/mixtral")}`,
  ]);
  assert.equal(other.code, 2, other.stderr);
  assert.match(other.stderr, /checkpoint\.export: .*is a Mixtral model; GGUF is written of Llama/);
  rmSync(folder, { recursive: true });
});
