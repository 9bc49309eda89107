// Every component of tokenizer.json, and tokenizers made of them, against Python's `tokenizers` and Transformers
// (test/fixtures/data/make_tokenizer_parts.py), and what is refused by its name.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { Tokenizer } from "../text/tokenizer.ts";
import { Fields } from "./fields.ts";
import { spellBytes } from "./byte-alphabet.ts";
import { readNormalizer } from "./normalizers.ts";
import { withinLimit } from "./patterns.ts";
import { TokenPipeline } from "./pipeline.ts";
import { readPreTokenizer, type Words } from "./pre-tokenizers.ts";

interface Fixture {
  readonly texts: string[];
  readonly parts: { kind: "normalizer" | "pre_tokenizer"; spec: Record<string, unknown>; expected: string }[];
  readonly tokenizers: {
    name: string;
    tokenizer: unknown;
    ids: string;
    decoded: string;
    skipped: string;
    draws: number[][];
    drawn: string;
  }[];
  readonly folders: {
    tokenizer: Record<string, unknown>;
    cases: {
      config: Record<string, unknown>;
      map: Record<string, unknown> | null;
      post: unknown;
      texts: string[];
      ids: number[][];
      skipped: string[];
    }[];
  };
}

const packed = gunzipSync(
  readFileSync(join(import.meta.dirname, "../../../test/fixtures/data/tokenizer-parts.json.gz")),
).toString();
const { charsmap } = JSON.parse(packed) as { charsmap: string };
const { rest: fixture } = JSON.parse(packed.replaceAll('"CHARSMAP"', JSON.stringify(charsmap))) as {
  rest: Fixture;
};

const digest = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 6);

/** The inputs whose outputs aren't the stored ones. */
function differing<T>(inputs: readonly T[], expected: string, run: (input: T) => unknown): unknown[] {
  assert.equal(expected.length, 6 * inputs.length);
  return inputs
    .map((input) => ({ input, output: run(input) }))
    .filter(({ output }, i) => digest(output) !== expected.slice(6 * i, 6 * i + 6));
}

const split = (spec: unknown): ((text: string) => readonly string[]) => {
  const { steps, spellsBytes } = readPreTokenizer(new Fields(spec, "pre_tokenizer"));
  return (text) => {
    if (text === "") return [];
    const { words } = steps.reduce<Words>((done, step) => step(done), { words: [text], isAtStart: true });
    return spellsBytes ? words.map(spellBytes) : words;
  };
};

void test("every normalizer and pre-tokenizer", { timeout: 60_000 }, () => {
  assert.ok(fixture.parts.length > 100);
  for (const { kind, spec, expected } of fixture.parts) {
    const run =
      kind === "normalizer" ? readNormalizer(new Fields(spec, "normalizer")).normalize : split(spec);
    assert.deepEqual(differing(fixture.texts, expected, run), [], JSON.stringify(spec).slice(0, 200));
  }
});

void suite("tokenizers: ids, and texts of ids", { timeout: 60_000 }, () => {
  for (const { name, tokenizer, ids, decoded, skipped, draws, drawn } of fixture.tokenizers)
    void test(name, () => {
      const made = new TokenPipeline(tokenizer);
      const encode = (text: string): number[] => made.encode(text).ids;
      const { texts } = fixture;
      assert.deepEqual(differing(texts, ids, encode), []);
      assert.deepEqual(
        differing(texts, decoded, (text) => made.decode(encode(text), false)),
        [],
      );
      assert.deepEqual(
        differing(texts, skipped, (text) => made.decode(encode(text), true)),
        [],
      );
      assert.deepEqual(
        differing(draws, drawn, (draw) => made.decode(draw, false)),
        [],
      );
    });
});

void test("added tokens of tokenizer_config.json and special_tokens_map.json, as in Transformers 5", () => {
  for (const { config, map, post, texts, ids, skipped } of fixture.folders.cases) {
    const tokenizer = new Tokenizer({
      tokenizer: { ...fixture.folders.tokenizer, post_processor: post },
      tokenizerConfig: config,
      specialTokensMap: map ?? undefined,
    });
    const message = JSON.stringify({ config, map });
    assert.deepEqual(
      texts.map((text) => tokenizer.encode(text, { addSpecialTokens: true })),
      ids,
      message,
    );
    assert.deepEqual(
      ids.map((one) => tokenizer.decode(one, { skipSpecialTokens: true })),
      skipped,
      message,
    );
  }
});

void test("half of a surrogate pair is a replacement character", () => {
  const made = new TokenPipeline(fixture.tokenizers.find(({ name }) => name === "Qwen")!.tokenizer);
  assert.deepEqual(made.encode("a\ud83d b").ids, made.encode("a\ufffd b").ids);
});

const wordLevel = { type: "WordLevel", unk_token: "?", vocab: { "?": 0, a: 1 } };
const refusals: [string, Record<string, unknown>, RegExp][] = [
  [
    "a component that isn't known",
    { pre_tokenizer: { type: "UnicodeScripts" } },
    /^tokenizer\.json: pre_tokenizer\.type: expected one of Sequence, ByteLevel, Split, .*, found "UnicodeScripts"\. Rows that are tokenized already/,
  ],
  [
    "one inside a sequence",
    { normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "Mystery" }] } },
    /^tokenizer\.json: normalizer\.normalizers\[1\]\.type: expected one of .*, found "Mystery"/,
  ],
  ["a model", { model: { type: "Neural" } }, /^tokenizer\.json: model\.type: expected one of BPE, /],
  [
    "a behaviour",
    { pre_tokenizer: { type: "Split", pattern: { String: " " }, behavior: "Glued", invert: false } },
    /pre_tokenizer\.behavior: expected one of Removed, Isolated, .*, found "Glued"/,
  ],
  [
    "a pattern without an exact counterpart",
    { normalizer: { type: "Replace", pattern: { Regex: "a\\Xb" }, content: "" } },
    /normalizer\.pattern\.Regex: expected a pattern that can be matched exactly as Oniguruma does, found "a\\\\Xb"/,
  ],
  [
    "random divisions",
    { model: { type: "BPE", dropout: 0.1, vocab: { a: 0 }, merges: [] } },
    /model\.dropout: expected null \(random divisions/,
  ],
  [
    "merges of tokens that aren't there",
    { model: { type: "BPE", vocab: { a: 0 }, merges: ["a b"] } },
    /model\.merges\[0\]: expected two tokens of the vocabulary that make a third, found "a b"/,
  ],
  [
    "an id that can't be",
    { model: { ...wordLevel, vocab: { "?": 0, a: 4e9 } } },
    /model\.vocab\["a"\]: expected an id below 100000000, found 4000000000/,
  ],
  ["no model", { model: null }, /^tokenizer\.json: model: expected an object, found null/],
];
for (const [name, file, message] of refusals)
  void test(`refused by name: ${name}`, () => {
    assert.throws(() => new TokenPipeline({ model: wordLevel, ...file }), { name: "UserError", message });
  });

void test("a pattern that backtracks without an end is stopped", { timeout: 60_000 }, () => {
  const { regex, isSafe } = { regex: /(a+)+b/gu, isSafe: false };
  const made = readPreTokenizer(
    new Fields(
      { type: "Split", pattern: { Regex: "(a+)+b" }, behavior: "Isolated", invert: false },
      "pre_tokenizer",
    ),
  );
  assert.equal(made.isSafe, isSafe);
  assert.throws(() => withinLimit(() => regex.exec("a".repeat(60)), 60, 0.2), {
    name: "UserError",
    message:
      /^tokenizer\.json: expected its patterns to split a text of 60 characters within 0\.2 s; they were stopped/,
  });
});

const replaces = (regex: string): Record<string, unknown> => ({
  type: "Replace",
  pattern: { Regex: regex },
  content: "",
});

void test("a repetition runs without a clock where nothing follows it", () => {
  const isSafe = (regex: string): boolean => readNormalizer(new Fields(replaces(regex), "normalizer")).isSafe;
  for (const regex of ["\\s+", " {2,}", "x?a+", "a+?", "a+|b", "[ab]", "a?b"])
    assert.ok(isSafe(regex), regex);
  for (const regex of [" +$", "\\s+x", "a*b", "a{2,}b|c", "a+?b", "a+b+", "(a)", "a{1000}"])
    assert.ok(!isSafe(regex), regex);
});

void test(
  "a normalizer is stopped wherever it runs: for added tokens, and for the part before a place",
  { timeout: 120_000 },
  () => {
    const normalizer = replaces("(a+)+b");
    const slow = "a".repeat(60);
    const message =
      /^tokenizer\.json: expected its patterns to split a text of 60 characters within 10 s; they were stopped/;
    const added_tokens = [
      {
        id: 2,
        content: slow,
        special: false,
        normalized: true,
        lstrip: false,
        rstrip: false,
        single_word: false,
      },
    ];
    assert.throws(() => new TokenPipeline({ model: wordLevel, normalizer, added_tokens }), {
      name: "UserError",
      message,
    });
    const made = new TokenPipeline({ model: wordLevel, normalizer });
    assert.throws(() => made.normalize(slow), { name: "UserError", message });
  },
);

void test("patterns of published models run without a clock", () => {
  for (const { name, tokenizer } of fixture.tokenizers) {
    const spec = (tokenizer as { pre_tokenizer: unknown }).pre_tokenizer;
    if (spec !== null) assert.ok(readPreTokenizer(new Fields(spec, "pre_tokenizer")).isSafe, name);
    const { normalizer } = tokenizer as { normalizer: unknown };
    if (normalizer !== null) assert.ok(readNormalizer(new Fields(normalizer, "normalizer")).isSafe, name);
  }
});
