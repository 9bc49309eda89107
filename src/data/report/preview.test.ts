import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { mapColumns } from "../columns.ts";
import { makeBatch, padBatch, type Document } from "../pack/batch.ts";
import { previewDocuments, previewFragment, previewHtml, previewText, summary } from "./preview.ts";
import { Tokenizer } from "../text/tokenizer.ts";

const fixture = join(import.meta.dirname, "../../../test/fixtures/data/qwen-style.json.gz");
const { tokenizer: json } = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as {
  tokenizer: Record<string, unknown>;
};
const tokenizer = new Tokenizer({ tokenizer: json });
const document = (row: number, untrained: string, trained: string): Document => {
  const [before, after] = [tokenizer.encode(untrained), tokenizer.encode(trained)];
  return {
    row,
    columns: {
      tokens: Int32Array.from([...before, ...after]),
      lossMask: Uint8Array.from([...before.map(() => 0), ...after.map(() => 1)]),
    },
  };
};
const documents = [
  document(7, "<|im_start|>ask <b>&amp;</b>?\n", "an answer 👍\nof two lines<|im_end|>"),
  document(3, "q", " a"),
];
const length = documents.reduce((sum, { columns }) => sum + columns.tokens.length, 0);
const batch = makeBatch([documents, [documents[1]!]], length);
const placeOf = (row: number): string => `rows.jsonl:${row + 1}`;

void test("in the terminal: the text of each document, what is trained marked, padding named", () => {
  const { columns } = documents[0]!;
  const text = previewText(batch, tokenizer, {
    mark: (t) => (t ? `«${t}»` : ""),
    heading: (t) => `# ${t}`,
    placeOf,
  });
  assert.equal(
    text,
    [
      summary(batch),
      "",
      `# sequence 1, document 1: rows.jsonl:8, ${columns.tokens.length} tokens, ${columns.lossMask.reduce((a, b) => a + b, 0)} trained`,
      "<|im_start|>ask <b>&amp;</b>?",
      "«an answer 👍»",
      "«of two lines<|im_end|>»",
      "",
      "# sequence 1, document 2: rows.jsonl:4, 2 tokens, 1 trained",
      "q« a»",
      "",
      "# sequence 2, document 1: rows.jsonl:4, 2 tokens, 1 trained",
      "q« a»",
      "",
      `# sequence 2, document 2: padding, ${length - 2} positions`,
      "",
    ].join("\n"),
  );
  assert.match(
    summary(batch),
    new RegExp(
      `^2 sequences of ${length} positions: 3 documents, ${length + 2} tokens, .* ${length - 2} padding`,
    ),
  );
});

void test("as a page: exactly the ids, labels and documents of the batch, and no markup of the data's own", () => {
  const html = previewHtml([batch], tokenizer, { title: "Test <page>", placeOf });
  const found = /<script type="application\/json" id="batches">(.*)<\/script>/.exec(html);
  assert.ok(found);
  const [inPage] = JSON.parse(found[1]!) as Record<string, unknown>[];
  assert.deepEqual(inPage, {
    sequences: batch.sequences,
    seqLen: length,
    trainedTokens: batch.trainedTokens,
    ...mapColumns(padBatch(batch), (values) => [...values]),
  });
  // The visible part says the same: every token of every document, in order, with its id and label.
  const titles = [...html.matchAll(/<(mark|span) title="position (\d+), id (\d+) [^"]*, label (-?\d+)">/g)];
  const expected = previewDocuments(batch, tokenizer)
    .filter(({ row }) => row !== undefined)
    .flatMap(({ tokens }) => tokens);
  assert.deepEqual(
    titles.map(([, tag, position, id, label]) => [
      tag === "mark",
      Number(position),
      Number(id),
      Number(label),
    ]),
    expected.map(({ isTrained, position, id, label }) => [isTrained, position, id, label]),
  );
  assert.ok(!html.includes("<b>") && !html.includes("<page>"));
  assert.equal(expected.filter(({ isTrained }) => isTrained).length, batch.trainedTokens);
});

void test("as part of a page: as many documents as asked for, its styles kept to itself", () => {
  const html = previewFragment([batch], tokenizer, { title: "Test", placeOf, documents: 2 });
  assert.equal(html.match(/<pre>/g)!.length, 2);
  assert.match(html, /… and 2 more documents/);
  const rules = /<style>(.*?)<\/style>/s.exec(html)![1]!.trim().split("\n");
  assert.deepEqual(
    rules.filter((rule) => !rule.startsWith(".forge-preview ")),
    [],
  );
});
