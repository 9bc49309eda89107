import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { Tokenizer } from "./tokenizer.ts";

const folder = join(import.meta.dirname, "../../../test/fixtures/data");
const fixture = (name: string): unknown =>
  JSON.parse(gunzipSync(readFileSync(join(folder, name))).toString());
const texts = fixture("texts.json.gz") as {
  texts: string[];
  idsSha256: Record<string, string[]>;
  withSpecialTokens: Record<string, number[][]>;
  decoded: Record<string, string[]>;
};
const tokenizer = (name: string): Tokenizer => {
  const { tokenizer, config } = fixture(`${name}.json.gz`) as Record<string, Record<string, unknown>>;
  return new Tokenizer({ tokenizer: tokenizer!, tokenizerConfig: config });
};
const digest = (ids: number[]): string =>
  createHash("sha256").update(ids.join(",")).digest("hex").slice(0, 8);

for (const name of Object.keys(texts.idsSha256)) {
  void suite(`${name} tokenizer equals Python's tokenizers`, { timeout: 240_000 }, () => {
    const tok = tokenizer(name);
    void test(`ids of ${texts.texts.length} texts`, () => {
      assert.ok(texts.texts.length >= 5000);
      const wrong = texts.texts.filter((text, i) => digest(tok.encode(text)) !== texts.idsSha256[name]![i]);
      assert.deepEqual(wrong.slice(0, 5), []);
    });
    void test("special tokens around a text, never a second bos", () => {
      const { prefixIds } = tok;
      for (const [i, expected] of texts.withSpecialTokens[name]!.entries()) {
        const text = texts.texts[i]!;
        const doubled = prefixIds.length > 0 && tok.encode(text)[0] === prefixIds[0];
        assert.deepEqual(
          tok.encode(text, { addSpecialTokens: true }),
          doubled ? expected.slice(1) : expected,
        );
      }
      for (const id of prefixIds)
        assert.equal(
          tok.encode(`${tok.pieceOf(id)}x`, { addSpecialTokens: true }).filter((x) => x === id).length,
          1,
        );
    });
    void test("decoding", () => {
      for (const [i, expected] of texts.decoded[name]!.entries())
        assert.equal(tok.decode(tok.encode(texts.texts[i]!)), expected);
    });
    void test("every character's token is found, or said to be unknown", () => {
      let places = 0;
      let unknown = 0;
      for (const text of texts.texts.slice(0, 200)) {
        const encoding = tok.encodeSections(text);
        for (let offset = 0; offset <= text.length; offset++) {
          const place = tok.tokenAt(text, encoding, offset);
          places++;
          if (place === undefined) unknown++;
          // What lies before a clean boundary must be the text of the tokens before it.
          else if (
            !place.inside &&
            !name.includes("style") &&
            !/[\ud800-\udbff]$/.test(text.slice(0, offset))
          )
            assert.equal(tok.decode(encoding.ids.slice(0, place.index)), text.slice(0, offset));
        }
      }
      assert.ok(unknown / places < 0.02, `${unknown} of ${places}`);
    });
  });
}

void test("special tokens come from the folder's files", { timeout: 60_000 }, () => {
  const smol = tokenizer("smollm2");
  assert.deepEqual(
    [smol.bosToken, smol.bosId, smol.eosToken, smol.eosId],
    ["<|im_start|>", 1, "<|im_end|>", 2],
  );
  assert.equal(smol.vocabSize, 49152);
  const { tokenizer: json } = fixture("llama3-style.json.gz") as Record<string, Record<string, unknown>>;
  const bare = new Tokenizer({ tokenizer: json!, generationConfig: { eos_token_id: [1501, 1504] } });
  assert.deepEqual([bare.eosId, bare.eosToken, bare.stopIds], [1501, "<|end_of_text|>", [1501, 1504]]);
});

void test("a vocabulary beyond the model's embedding", () => {
  const { tokenizer: json } = fixture("llama3-style.json.gz") as Record<string, Record<string, unknown>>;
  const of = (rows: number): Tokenizer =>
    new Tokenizer({ tokenizer: json!, modelConfig: { vocab_size: rows } });
  assert.throws(() => of(48), {
    name: "UserError",
    message:
      /^tokenizer\.json has the ids 0 to 1499, but config\.json gives the model a vocabulary of 48 \(vocab_size\)/,
  });
  // Added tokens that the model has no rows for matter where a row has them: they are refused there.
  assert.deepEqual([of(1500).idLimit, of(1500).vocabSize > 1500], [1500, true]);
});
