// What a cached model lacks, told from its files alone.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { missingModelFiles } from "./cache.ts";

void test("an index of shards that is cut off, or is none, is missing", () => {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-cache-"));
  try {
    const lacks = (index: string): string[] => {
      writeFileSync(join(folder, "model.safetensors.index.json"), index);
      return missingModelFiles(folder).filter((name) => !/^(config|tokenizer)\.json$/.test(name));
    };
    assert.deepEqual(lacks('{"weight_map":{"a":"model-1.safe'), ["model.safetensors.index.json"]);
    assert.deepEqual(lacks("null"), []);
    assert.deepEqual(lacks('{"weight_map":{"a":"x.safetensors","b":3}}'), ["x.safetensors"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
