// `forge import` as a process: what it prints and how it exits.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..", "..");
const fixture = join(import.meta.dirname, "fixtures", "qwen2.gguf");

function forge(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const main = join(root, "src", "cli", "main.ts");
  return spawnSync(process.execPath, [main, "import", ...args], { encoding: "utf8", timeout: 30_000 });
}

void test("forge import writes a model folder; wrong arguments exit with 2, a broken file with 1", () => {
  const work = mkdtempSync(join(tmpdir(), "torchforge-import-"));
  try {
    const folder = join(work, "model");
    const good = forge(fixture, "--output-dir", folder, "--dtype", "bf16");
    assert.equal(good.status, 0, good.stderr);
    assert.equal(good.stdout, `${folder}: qwen2, 0.0 million parameters in 26 tensors, bfloat16\n`);
    assert.deepEqual(readdirSync(folder).sort(), [
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "special_tokens_map.json",
      "tokenizer.json",
      "tokenizer_config.json",
      "torchforge_import.json",
    ]);
    const again = forge(fixture, "--output-dir", folder);
    assert.equal(again.status, 2);
    assert.match(again.stderr, /expected a new or empty folder to import into, found files in it/);
    const dtype = forge(fixture, "--output-dir", join(work, "b"), "--dtype", "int8");
    assert.equal(dtype.status, 2);
    assert.match(dtype.stderr, /--dtype: expected float32 or bfloat16, found int8/);
    assert.equal(forge(fixture).status, 2);
    const foreign = forge(import.meta.filename, "--output-dir", join(work, "c"));
    assert.equal(foreign.status, 1);
    assert.match(foreign.stderr, /expected a GGUF file/);
    assert.deepEqual(readdirSync(work), ["model"]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});
