import assert from "node:assert/strict";
import { test } from "node:test";
import { detectFormat, toExample, type FormatName } from "./formats.ts";
import { BadRow } from "../types.ts";

const bad = (value: unknown, format: FormatName, reason: string | RegExp): void =>
  assert.throws(
    () => toExample(value, format),
    (error) =>
      error instanceof BadRow &&
      (typeof reason === "string" ? error.reason === reason : reason.test(error.reason)),
  );

void test("Alpaca is one user and one assistant message, in the template's own words", () => {
  assert.deepEqual(toExample({ instruction: "Add.", input: "1 2", output: "3" }, "alpaca"), {
    kind: "messages",
    messages: [
      {
        role: "user",
        content:
          "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n",
      },
      { role: "assistant", content: "3" },
    ],
  });
  for (const input of ["", undefined, null]) {
    const example = toExample({ instruction: "Hi.", input, output: "Ho" }, "alpaca");
    assert.equal(
      example.kind === "messages" && example.messages[0]!.content,
      "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nHi.\n\n### Response:\n",
    );
  }
  const plain = toExample({ instruction: "Add.", input: "1 2", output: "3" }, "instruction");
  assert.equal(plain.kind === "messages" && plain.messages[0]!.content, "Add.\n1 2");
  bad({ instruction: "x" }, "alpaca", 'column "output" is missing');
  bad({ instruction: 3, output: "" }, "alpaca", 'column "instruction": expected text, found the number 3');
});

void test("ShareGPT and messages, with system column, tools and parts", () => {
  const example = toExample(
    {
      system: "S",
      tools: '[{"type":"function"}]',
      conversations: [
        { from: "human", value: "q" },
        { from: "gpt", value: "a", weight: 1 },
      ],
    },
    "sharegpt",
  );
  assert.deepEqual(example, {
    kind: "messages",
    messages: [
      { role: "system", content: "S" },
      { role: "user", content: "q" },
      { role: "assistant", content: "a", weight: 1 },
    ],
    tools: [{ type: "function" }],
  });
  const parts = toExample(
    {
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "text", text: "b" },
          ],
        },
      ],
    },
    "messages",
  );
  assert.ok(parts.kind === "messages");
  assert.equal(parts.messages[0]!.content, "ab");
  assert.deepEqual(parts.messages[0]!.rawContent, [
    { type: "text", text: "a" },
    { type: "text", text: "b" },
  ]);
  assert.deepEqual(toExample({ messages: '[{"role":"user","content":"q"}]' }, "messages"), {
    kind: "messages",
    messages: [{ role: "user", content: "q" }],
  });
  bad(
    { messages: [{ role: "narrator", content: "x" }] },
    "messages",
    /^messages\[0\]: unknown role "narrator"/,
  );
  bad(
    { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
    "messages",
    /^messages\[0\]\.content\[0\]: only text/,
  );
  bad({ messages: [] }, "messages", 'column "messages" is empty');
  bad({ messages: 7 }, "messages", 'column "messages": expected an array of turns, found the number 7');
  bad([], "messages", "expected an object, found an array");
});

void test("prompt and completion, text, pre-tokenized", () => {
  assert.deepEqual(toExample({ prompt: "p", completion: "c" }, "prompt_completion"), {
    kind: "completion",
    prompt: "p",
    completion: "c",
  });
  assert.equal(
    toExample(
      { prompt: [{ role: "user", content: "q" }], completion: [{ role: "assistant", content: "a" }] },
      "prompt_completion",
    ).kind,
    "messages",
  );
  assert.deepEqual(toExample({ text: "t" }, "text"), { kind: "text", text: "t" });
  assert.deepEqual(toExample({ input_ids: [5n, 6n, 7n], labels: [-100, 6, 7] }, "tokenized"), {
    kind: "tokens",
    columns: { tokens: Int32Array.of(5, 6, 7), lossMask: Uint8Array.of(0, 1, 1) },
  });
  bad({ input_ids: [1, 2], labels: [1] }, "tokenized", "labels has 1 entries, input_ids has 2");
  bad({ input_ids: [1, 2], labels: [2, -100] }, "tokenized", /^labels\[0\] is 2, input_ids\[0\] is 1/);
  bad({ input_ids: [1.5] }, "tokenized", "input_ids[0]: expected an integer, found the number 1.5");
  bad({ input_ids: [] }, "tokenized", 'column "input_ids" is empty');
});

void test("the format is found in the columns, or the columns can be mapped", () => {
  const cases: [string[], FormatName][] = [
    [["instruction", "input", "output", "text"], "alpaca"],
    [["conversations", "id"], "sharegpt"],
    [["messages", "prompt"], "messages"],
    [["prompt", "completion"], "prompt_completion"],
    [["text"], "text"],
    [["input_ids", "attention_mask", "labels"], "tokenized"],
  ];
  for (const [columns, format] of cases)
    assert.equal(detectFormat(Object.fromEntries(columns.map((c) => [c, ""]))), format);
  assert.throws(() => detectFormat({ question: "", answer: "" }), {
    name: "UserError",
    message: /no known format fits the columns question, answer\. Expected instruction \+ output/,
  });
  const columns = { instruction: "question", output: "answer" };
  assert.equal(detectFormat({ question: "", answer: "" }, columns), "alpaca");
  assert.equal(toExample({ question: "Q", answer: "A" }, "alpaca", columns).kind, "messages");
});
