import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";

import { Conversation } from "./conversation.ts";
import { linesOf } from "./lines.ts";

const keys = { enter: "\r", ctrlC: "\u0003", ctrlD: "\u0004" };

function onTerminal() {
  const [input, output] = [new PassThrough(), new PassThrough()];
  let interrupts = 0;
  let shown = "";
  output.on("data", (text: Buffer) => (shown += text.toString()));
  const lines = linesOf(input, output, () => interrupts++);
  return { input, lines, shown: () => shown, interrupts: () => interrupts };
}

/** Types a key while the first line is answered. */
async function duringAnAnswer(key: string) {
  const terminal = onTerminal();
  terminal.input.write(`Hello${keys.enter}`);
  assert.deepEqual(await terminal.lines.next(), { value: "Hello", done: false });
  terminal.input.write(key);
  assert.deepEqual(await terminal.lines.next(), { value: undefined, done: true });
  return terminal;
}

test("Ctrl-D while an answer is made ends the conversation after it, Ctrl-C at once", async () => {
  assert.equal((await duringAnAnswer(keys.ctrlD)).interrupts(), 0);
  assert.equal((await duringAnAnswer(keys.ctrlC)).interrupts(), 1);
});

test("Ctrl-C and Ctrl-D at the prompt end the conversation", async () => {
  for (const key of [keys.ctrlC, keys.ctrlD]) {
    const { input, lines, shown, interrupts } = onTerminal();
    const first = lines.next();
    input.write(key);
    assert.deepEqual(await first, { value: undefined, done: true });
    assert.match(shown(), /> /);
    assert.equal(interrupts(), 0);
  }
});

test("only the four commands are commands; what else begins with a slash is the model's", () => {
  const conversation = new Conversation(undefined);
  const lines = [
    "/no_think What is 2 + 2?",
    "/think",
    "/resets",
    "/reset the counter",
    "/etc/hosts",
    "/exit",
  ];
  for (const isTyped of [true, false])
    for (const line of lines) assert.equal(conversation.obeys(line, isTyped), false, line);
  for (const line of ["/reset", "/system You are brief.", "/system", "/history"])
    assert.equal(conversation.obeys(line, false), true, line);
  conversation.obeys("/system You are brief.", true);
  assert.deepEqual(conversation.ask("Hi"), [
    { role: "system", content: "You are brief." },
    { role: "user", content: "Hi" },
  ]);
  assert.equal(conversation.obeys("/help", true), true);
  assert.equal(conversation.obeys("/help", false), false);
});
