// Interrupting cells: those that await, those that are busy wherever they are, and code that wants to end in its own way.
// The kernel lives on each time, with its variables.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { KernelClient, type Executed } from "./kernel-client.ts";

const timeout = 120_000;

describe("interrupting a cell", { timeout }, () => {
  let kernel: KernelClient;
  before(async () => void (kernel = await KernelClient.start()), { timeout });
  after(async () => kernel[Symbol.asyncDispose]());

  /** Runs a cell, and interrupts it each time that it prints "now". */
  const interrupted = async (code: string): Promise<Executed> => {
    let seen = 0;
    let text = "";
    return await kernel.execute(code, {}, ({ header, content }) => {
      if (header.msg_type !== "stream") return;
      text += String(content["text"]);
      const wanted = text.split("now\n").length - 1;
      for (; seen < wanted; seen++) void kernel.interrupt();
    });
  };
  const value = async (code: string): Promise<string | undefined> => {
    const { status, result, traceback } = await kernel.execute(code);
    assert.equal(status, "ok", traceback);
    return result;
  };

  test("an awaiting cell: `finally` runs, the variables stay", async () => {
    const { ename, stdout, traceback } = await interrupted(
      "let kept = 0;\ntry {\n  kept = 1;\n  console.log('now');\n  await new Promise(() => {});\n} finally {\n  await 1;\n  console.log('finally');\n}",
    );
    assert.equal(ename, "Interrupted");
    assert.equal(stdout, "now\nfinally\n");
    assert.match(
      traceback,
      /^Interrupted: the cell was interrupted; its variables are as it left them\n\n5 \| {3}await/,
    );
    assert.equal(await value("kept"), "1");
  });

  test("a loop of short awaits ends, and does not go on in the background", async () => {
    const { ename } = await interrupted(
      "let turns = 0; console.log('now'); for (;;) { await new Promise((done) => setTimeout(done, 1)); turns++ }",
    );
    assert.equal(ename, "Interrupted");
    const turns = await value("turns");
    assert.equal(await value("await new Promise((done) => setTimeout(done, 50)); turns"), turns);
  });

  test("an endless stream: its source is told", async () => {
    const { ename, stdout } = await interrupted(
      "async function* source() { try { for (;;) { await new Promise((done) => setTimeout(done, 1)); yield 1 } } finally { console.log('closed') } }\n" +
        "let first = true;\nfor await (const one of source()) { if (first) console.log('now'); first = false }",
    );
    assert.equal(ename, "Interrupted");
    assert.match(stdout, /^now\n/);
    assert.equal(await value("typeof source"), "'function'");
  });

  for (const [where, code] of Object.entries({
    "in its first part": "let n = 0;\nconsole.log('now');\nfor (;;) n++",
    "after an await":
      "let n = 0;\nawait new Promise((done) => setTimeout(done, 5)); console.log('now');\nfor (;;) n++",
    "in a timer":
      "let n = 0;\nsetTimeout(() => { console.log('now');\nfor (;;) n++ }); await new Promise(() => {})",
    "in a microtask loop": "let n = 0;\nconsole.log('now');\nfor (;;) { await null; n++ }",
    "in a library":
      "let n = 1;\nconst huge = 'a'.repeat(40) + '!';\nconsole.log('now');\nfor (;;) /^(a+)+$/.test(huge.slice(0, 20))",
    "in a nested function":
      "let n = 1;\nfunction spin() { for (;;) n++ }\nconsole.log('now'); [1].forEach(() => spin())",
  })) {
    test(`a busy cell, ${where}`, async () => {
      const { ename, status } = await interrupted(code);
      assert.deepEqual([status, ename], ["error", "Interrupted"]);
      assert.equal(
        await value("n >= 0 && await new Promise((done) => setTimeout(done, 5, 'alive'))"),
        "'alive'",
      );
    });
  }

  test("busy code that nobody waits for ends too", async () => {
    await value("let spun = 0; setTimeout(() => { console.log('spinning'); for (;;) spun++ }); 0");
    await kernel.until(({ content }) => content["text"] === "spinning\n");
    await kernel.interrupt();
    assert.equal(await value("spun > 0"), "true");
  });

  test("a handler takes the interrupt; a second one ends the cell", async () => {
    const gentle = await interrupted(`
      import { onInterrupt } from "torchforge/notebook";
      let stop = false;
      {
        using handler = onInterrupt(() => { stop = true });
        console.log("now");
        while (!stop) await new Promise((done) => setTimeout(done, 1));
        console.log("saved");
      }
      "ended by itself"
    `);
    assert.deepEqual(
      [gentle.status, gentle.ename, gentle.stdout, gentle.result],
      ["error", "Interrupted", "now\nsaved\n", "'ended by itself'"],
    );
    const twice = await interrupted(`
      const host = globalThis[Symbol.for("torchforge.notebook")];
      let calls = 0;
      using deaf = host.onInterrupt(() => { if (++calls === 1) console.log("now") });
      console.log("now");
      await new Promise(() => {});
    `);
    assert.equal(twice.ename, "Interrupted");
    assert.equal(await value("calls"), "2");
  });

  test("a cell that catches the interrupt and goes on is left behind by the next", async () => {
    const { ename } = await interrupted(
      "for (let i = 0; ; i++) { try { console.log('now'); await new Promise(() => {}) } catch {} }",
    );
    assert.equal(ename, "Interrupted");
    assert.equal(await value("1 + 1"), "2");
  });

  test("with nothing running it does nothing, and SIGINT is an interrupt", async () => {
    await kernel.interrupt();
    assert.equal(await value("await 2"), "2");
    let sent = false;
    const { ename } = await kernel.execute(
      "console.log('now'); await new Promise(() => {})",
      {},
      ({ header }) => {
        if (header.msg_type === "stream" && !sent) sent = kernel.process.kill("SIGINT");
      },
    );
    assert.equal(ename, "Interrupted");
    assert.equal(await value("3"), "3");
  });
});
