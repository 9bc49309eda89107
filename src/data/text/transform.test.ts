import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { transformRow, type MessageTransform } from "./transform.ts";

test("a function that is async is a bad row's reason, also where it throws", async () => {
  const stored = { file: "a.jsonl", line: 1, value: { question: "q" } };
  const failing = (async () => {
    await setImmediate();
    throw new Error("oops");
  }) as unknown as MessageTransform;
  assert.deepEqual(transformRow(stored, failing, "message_transform"), {
    file: "a.jsonl",
    line: 1,
    bad: "message_transform must return messages, [{ role, content }, …], or { messages, tools }; it gave a promise: it can't be async",
  });
  await setImmediate(); // a rejection that nobody handles would fail this test
  await setImmediate();
});
