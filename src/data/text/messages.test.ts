import assert from "node:assert/strict";
import { test } from "node:test";
import { toExample, type FormatName } from "./formats.ts";
import { BadRow, type Example, type Message } from "../types.ts";
import { parseJson, pythonJson } from "../values.ts";

const of = (row: object, format: FormatName = "messages"): Extract<Example, { kind: "messages" }> => {
  const example = toExample(parseJson(JSON.stringify(row)), format);
  assert.ok(example.kind === "messages");
  return example;
};
const messages = (...turns: object[]): readonly Message[] => of({ messages: turns }).messages;
const bad = (row: object, reason: string | RegExp, format: FormatName = "messages"): void =>
  assert.throws(
    () => of(row, format),
    (error) =>
      error instanceof BadRow &&
      (typeof reason === "string" ? error.reason === reason : reason.test(error.reason)),
  );
const call = (args: unknown) => ({ type: "function", function: { name: "f", arguments: args } });

void test("what is null in a turn is as if it weren't there, and so are tool calls without any", () => {
  const plain = messages({ role: "user", content: "q" }, { role: "assistant", content: "a" });
  assert.deepEqual(
    messages(
      { role: "user", content: "q", name: null, tool_calls: null, tool_call_id: null },
      { role: "assistant", content: "a", tool_calls: [], function_call: null, reasoning_content: null },
    ),
    plain,
  );
  bad({ messages: [{ role: "assistant", content: null }] }, "messages[0].content: expected text, found null");
});

void test("tool calls have Transformers' form, whoever wrote them", () => {
  const wordless = { role: "assistant", content: "", rawContent: null };
  const expected = [{ ...wordless, tool_calls: [call({ x: 1, none: null })] }];
  const args = { x: 1, none: null };
  assert.deepEqual(messages({ role: "assistant", content: null, tool_calls: [call(args)] }), expected);
  assert.deepEqual(messages({ role: "assistant", tool_calls: [{ id: null, ...call(args) }] }), expected);
  assert.deepEqual(
    messages({ role: "assistant", content: "", tool_calls: [{ name: "f", arguments: args }] }),
    [{ role: "assistant", content: "", tool_calls: [call(args)] }],
  );
  assert.deepEqual(messages({ role: "assistant", tool_calls: JSON.stringify([call(args)]) }), expected);
  assert.deepEqual(
    messages({ role: "assistant", content: null, function_call: { name: "f", arguments: args } }),
    expected,
  );
  // LLaMA-Factory's and Glaive's turns.
  const sharegpt = of(
    {
      tools: JSON.stringify([{ name: "f", description: "F", parameters: {} }]),
      conversations: [
        { from: "human", value: "q" },
        { from: "function_call", value: JSON.stringify({ name: "f", arguments: args }) },
        { from: "observation", value: "1" },
        { from: "gpt", value: "a" },
        {
          from: "function-call",
          value: JSON.stringify([{ name: "f", arguments: '{"y": 2.0}' }, { name: "f" }]),
        },
        { from: "function-response", value: "2" },
      ],
    },
    "sharegpt",
  );
  assert.deepEqual(sharegpt.messages, [
    { role: "user", content: "q" },
    { role: "assistant", content: "", tool_calls: [call(args)] },
    { role: "tool", content: "1" },
    { role: "assistant", content: "a" },
    { role: "assistant", content: "", tool_calls: [call('{"y": 2.0}'), call({})] },
    { role: "tool", content: "2" },
  ]);
  assert.deepEqual(sharegpt.tools, [
    { type: "function", function: { name: "f", description: "F", parameters: {} } },
  ]);
  bad(
    { messages: [{ role: "assistant", tool_calls: [{ function: { arguments: {} } }] }] },
    "messages[0].tool_calls[0]: expected the function's name, found nothing",
  );
  bad(
    { messages: [{ role: "assistant", tool_calls: [call(7)] }] },
    "messages[0].tool_calls[0]: expected arguments as an object or as JSON text, found the number 7",
  );
  bad(
    { conversations: [{ from: "function_call", value: "f(x)" }] },
    /^conversations\[0\]\.value: expected JSON, found text "f\(x\)"/,
    "sharegpt",
  );
  bad(
    { conversations: [{ from: "function_call", value: "" }] },
    "conversations[0]: a turn of function_call without a call",
    "sharegpt",
  );
});

void test("a tool's answer may be an object, with numbers as they were", () => {
  const [tool] = of({
    messages: [],
    ...(parseJson('{"messages":[{"role":"tool","content":{"t":20.5,"n":[1]}}]}') as object),
  }).messages;
  assert.deepEqual(tool, { role: "tool", content: '{"t": 20.5, "n": [1]}', rawContent: { t: 20.5, n: [1] } });
  const example = toExample(
    parseJson('{"messages":[{"role":"function","content":[{"t":20.0}]}]}'),
    "messages",
  );
  assert.equal(example.kind === "messages" && example.messages[0]!.content, '[{"t": 20.0}]');
  assert.deepEqual(messages({ role: "tool", content: [{ type: "text", text: "a" }] }), [
    { role: "tool", content: "a", rawContent: [{ type: "text", text: "a" }] },
  ]);
  bad(
    { messages: [{ role: "user", content: { a: 1 } }] },
    "messages[0].content: expected text, found an object with a",
  );
});

void test("tools: a list, one, or JSON text of either, whole or each", () => {
  const tool = { type: "function", function: { name: "f" } };
  const tools = (value: unknown, column = "tools") =>
    of({ messages: [{ role: "user", content: "q" }], [column]: value }).tools;
  for (const value of [[tool], tool, JSON.stringify([tool]), JSON.stringify(tool), [JSON.stringify(tool)]])
    assert.deepEqual(tools(value), [tool]);
  for (const value of [null, "", " ", [], {}, "[]"]) assert.equal(tools(value), undefined);
  assert.deepEqual(tools([{ name: "f" }]), [{ name: "f" }]); // as Transformers would be given it
  assert.deepEqual(tools([{ name: "f" }], "functions"), [tool]); // OpenAI's old form is always the function alone
  bad(
    { messages: [{ role: "user", content: "q" }], tools: "f(x)" },
    /^tools: expected JSON, found text "f\(x\)"/,
  );
  bad(
    { messages: [{ role: "user", content: "q" }], tools: [7] },
    "tools[0]: expected a tool's definition, found the number 7",
  );
});

void test("Alpaca's system and history are part of the conversation", () => {
  const row = {
    instruction: "And three?",
    input: "",
    output: "six",
    system: "Double.",
    history: [
      ["one", "two"],
      ["two", "four"],
    ],
  };
  const expected = [
    { role: "system", content: "Double." },
    { role: "user", content: "one" },
    { role: "assistant", content: "two" },
    { role: "user", content: "two" },
    { role: "assistant", content: "four" },
    { role: "user", content: "And three?" },
    { role: "assistant", content: "six" },
  ];
  assert.deepEqual(of(row, "instruction").messages, expected);
  assert.deepEqual(of({ ...row, history: JSON.stringify(row.history) }, "instruction").messages, expected);
  const worded = of(row, "alpaca").messages;
  assert.match(worded[1]!.content, /### Instruction:\none\n/);
  assert.match(worded[5]!.content, /### Instruction:\nAnd three\?\n/);
  assert.equal(of({ ...row, system: null, history: [] }, "instruction").messages.length, 2);
  bad({ ...row, history: [["one"]] }, "history[0]: expected [question, answer], found an array", "alpaca");
});

void test("a prompt of turns is not trained, and weight 0 takes a turn out", () => {
  const user = { role: "user", content: "q" };
  const assistant = { role: "assistant", content: "a" };
  const both = of(
    { prompt: [user, assistant, user], completion: [assistant], system: "S" },
    "prompt_completion",
  );
  assert.deepEqual([both.messages.length, both.promptTurns], [5, 4]);
  const text = of({ prompt: [user], completion: "a" }, "prompt_completion");
  assert.deepEqual([text.messages, text.promptTurns], [[user, assistant], 1]);
  assert.deepEqual(messages({ ...assistant, weight: 0 }), [{ ...assistant, weight: 0 }]);
  bad(
    { messages: [{ ...assistant, weight: 0.5 }] },
    "messages[0].weight: expected 0 or 1, found the number 0.5",
  );
});

void test("a row whose keys JavaScript would reorder is a row as any other, and keeps their order", () => {
  const text =
    '{"text":"x","0":1,"messages":[{"role":"assistant","content":null,"0":1,"tool_calls":[{"function":{"name":"f","arguments":{"b":1,"1":2.0}}}]}]}';
  const example = toExample(parseJson(text), "messages");
  assert.ok(example.kind === "messages");
  const [{ tool_calls: calls }] = example.messages as [Message];
  assert.equal(pythonJson(calls), '[{"function": {"name": "f", "arguments": {"b": 1, "1": 2.0}}}]');
});
