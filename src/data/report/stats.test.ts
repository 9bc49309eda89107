import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { openLoader } from "../load/open.ts";
import { dataStats } from "./stats.ts";
import { Tokenizer } from "../text/tokenizer.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-stats-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const fixture = join(import.meta.dirname, "../../../test/fixtures/data/qwen-style.json.gz");
const files = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as Record<
  string,
  Record<string, unknown>
>;
const tokenizer = new Tokenizer({ tokenizer: files["tokenizer"]!, tokenizerConfig: files["config"] });

void test(
  "every row is trained, truncated, dropped or bad, and the sums balance",
  { timeout: 60_000 },
  async () => {
    const rows = [
      ...Array.from({ length: 40 }, (_, i) =>
        JSON.stringify({ prompt: "q ".repeat(i + 1), completion: "a ".repeat(i + 1) }),
      ),
      JSON.stringify({ prompt: "q ".repeat(300), completion: "a" }),
      JSON.stringify({ prompt: "q ", completion: "a ".repeat(300) }),
      JSON.stringify({ prompt: "q" }),
      "not json",
    ];
    const path = join(dir, "rows.jsonl");
    writeFileSync(path, rows.join("\n"));
    const options = { sources: [{ path }], tokenizer, seqLen: 128, batchSize: 4, cacheFolder: null } as const;
    const found = await dataStats(options);
    const { ledger } = found;
    assert.deepEqual(
      [ledger.rows, ledger.trained, ledger.truncated, ledger.dropped, ledger.bad],
      [44, 40, 1, 1, 2],
    );
    assert.equal(ledger.rows, ledger.trained + ledger.truncated + ledger.dropped + ledger.bad);
    assert.deepEqual(
      ledger.reasons
        .map(({ kind, rows, examples }) => [kind, rows, examples])
        .sort((a, b) => String(a).localeCompare(String(b))),
      [
        ["bad", 1, [`${path}:43`]],
        ["bad", 1, [`${path}:44`]],
        ["dropped", 1, [`${path}:41`]],
        ["truncated", 1, [`${path}:42`]],
      ],
    );
    assert.ok(found.lengths.min <= 5 && found.lengths.median < found.lengths.p95 && found.lengths.max > 300);

    // What a run really gets in an epoch is what was said.
    for (const packed of [true, false]) {
      const loader = await openLoader({
        ...options,
        packed,
        onBadRow: "skip",
        shuffle: false,
        endless: false,
      });
      let [tokens, trained, sequences, positions] = [0, 0, 0, 0];
      for (let batch = await loader.next(); batch; batch = await loader.next()) {
        tokens += batch.columns.tokens.length;
        trained += batch.trainedTokens;
        sequences += batch.sequences.length;
        positions += batch.sequences.length * batch.seqLen;
      }
      await loader.close();
      const said = packed ? found.packed : found.padded;
      assert.deepEqual([tokens, trained, sequences], [found.tokens, found.trainedTokens, said.sequences]);
      assert.ok(Math.abs(tokens / positions - said.efficiency) < 1e-12);
    }
    const strict = await dataStats({ ...options, onOverlong: "error" });
    assert.deepEqual([strict.ledger.trained, strict.ledger.bad], [40, 4]);
  },
);
