// Tokenizers made of GGUF files give the ids of Transformers (make_fixtures.py).
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadTokenizer } from "../../src/data/index.ts";
import { importGguf } from "../../src/gguf/index.ts";

interface Expected {
  readonly texts: string[];
  readonly models: Record<string, { ids: number[][] }>;
}

const fixtures = join(import.meta.dirname, "fixtures");
const expected = JSON.parse(readFileSync(join(fixtures, "expected.json"), "utf8")) as Expected;

for (const [name, { ids }] of Object.entries(expected.models))
  void test(`${name}: token ids equal Transformers'`, { timeout: 60_000 }, () => {
    const folder = join(mkdtempSync(join(tmpdir(), "torchforge-gguf-")), name);
    try {
      importGguf(join(fixtures, `${name}.gguf`), folder);
      const tokenizer = loadTokenizer(folder);
      for (const [i, text] of expected.texts.entries())
        assert.deepEqual([...tokenizer.prefixIds, ...tokenizer.encode(text)], ids[i], JSON.stringify(text));
    } finally {
      rmSync(join(folder, ".."), { recursive: true, force: true });
    }
  });
