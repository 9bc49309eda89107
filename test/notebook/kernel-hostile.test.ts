// A kernel against what no message can carry, and against strangers on its sockets: the first is an error in the cell, the
// second costs them their connection. The kernel and its state live on.
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { readConnectionFile, type Channel } from "../../src/notebook/kernel/protocol/connection-file.ts";
import { textOf } from "../../src/notebook/kernel/protocol/message.ts";
import { listeningSockets } from "../listening-sockets.ts";
import { KernelClient, type Executed } from "./kernel-client.ts";

const timeout = 600_000;

describe("a kernel lives on", { timeout }, () => {
  let kernel: KernelClient;
  before(
    async () => {
      kernel = await KernelClient.start();
      await kernel.execute("const state = 'kept'");
    },
    { timeout },
  );
  after(() => kernel[Symbol.asyncDispose]());

  const alive = async (): Promise<void> => assert.equal((await kernel.execute("state")).result, "'kept'");
  const ok = async (code: string): Promise<Executed> => {
    const executed = await kernel.execute(code);
    assert.equal(executed.status, "ok", executed.traceback);
    return executed;
  };

  const json = (value: string): string => `display({ "application/json": ${value} }, { raw: true })`;
  const cases: [what: string, code: string, traceback: RegExp][] = [
    ["a BigInt", json("{ n: 1n }"), /TypeError: display: application\/json can't be shown: .*BigInt/],
    [
      "a circle",
      `const ring = {}; ring.ring = ring; ${json("ring")}`,
      /can't be shown: Converting circular structure/,
    ],
    [
      "a toJSON that throws",
      json("{ toJSON() { throw new Error('no') } }"),
      /application\/json can't be shown: no/,
    ],
    [
      "a BigInt as the result",
      "({ [Symbol.for('Jupyter.display')]: () => ({ 'application/json': 1n }) })",
      /BigInt/,
    ],
    [
      "a BigInt that comes later",
      "display({ [Symbol.for('Jupyter.display')]: async () => { await 1; return { 'application/json': 1n } } })",
      /application\/json can't be shown/,
    ],
    [
      "a number as HTML",
      "display({ 'text/html': 5 }, { raw: true })",
      /expected text\/html to be a string, found a value of type number/,
    ],
    [
      "metadata that isn't an object",
      "display(1, { metadata: [1] })",
      /expected metadata to be an object, found a list/,
    ],
    [
      "50 MB of HTML",
      "display({ 'text/html': 'x'.repeat(5e7) }, { raw: true })",
      /expected an output of at most 34 MB, found text\/html of 50 MB: write it to a file/,
    ],
    [
      "an error whose message throws",
      "throw { get [Symbol.toStringTag]() { throw 1 }, [Symbol.for('nodejs.util.inspect.custom')]() { throw 2 } }",
      /a value of type object that can't be shown/,
    ],
    ["a function", json("() => {}"), /./],
  ];
  for (const [what, code, traceback] of cases) {
    test(`after ${what}`, async () => {
      const executed = await kernel.execute(code);
      if (what !== "a function") assert.equal(executed.status, "error", what);
      assert.match(`${executed.traceback} `, traceback);
      await alive();
    });
  }

  test("half an emoji becomes a sign that can be saved, whole ones stay", async () => {
    const { stdout, result, shown } = await ok(
      `process.stdout.write("\\ud83d"); process.stdout.write("\\ude00|\\ud83d|");\n` +
        `${json('{ "\\ud800": ["\\udc00", "\\\\ud800"] }')}; "\\ud83d".concat("x")`,
    );
    assert.equal(stdout, "😀|\ufffd|");
    assert.deepEqual(shown[0]!.content["data"], { "application/json": { "\ufffd": ["\ufffd", "\\ud800"] } });
    assert(result!.isWellFormed());
    const failed = await kernel.execute("throw new Error('half \\ud83d')");
    assert.match(failed.traceback, /half \ufffd/);
  });

  test("500 MB in one write are cut, and the output says how much", async () => {
    for (const write of [
      "process.stdout.write('x'.repeat(5e8))",
      "process.stdout.write(Buffer.alloc(5e8, 'x'))",
    ]) {
      const { stdout } = await ok(`${write}; 0`);
      assert(stdout.length < 17_000_000, String(stdout.length));
      assert.match(
        stdout.slice(-200),
        /… cut here: 483,222,784 more (characters|bytes), too many for one output/,
      );
    }
    const { result } = await ok(
      "({ [Symbol.for('Jupyter.display')]: () => ({ 'text/plain': 'y'.repeat(3e7) }) })",
    );
    assert.match(result!.slice(-200), /… cut here: 13,222,784 more characters/);
    const failed = await kernel.execute("throw new Error('z'.repeat(3e7))");
    assert.match(failed.traceback.slice(-200), /… cut here: /);
    await alive();
  });

  test("what a user expression shows may be anything", async () => {
    const { reply } = await kernel.execute("0", {
      user_expressions: {
        big: "({ [Symbol.for('Jupyter.display')]: () => ({ 'application/json': 1n }) })",
        late: "({ [Symbol.for('Jupyter.display')]: async () => ({}) })",
      },
    });
    const values = reply.content["user_expressions"] as Record<string, { status: string; evalue: string }>;
    assert.match(values["big"]!.evalue, /BigInt/);
    assert.equal(reply.content["status"], "ok");
    await alive();
  });

  test("an output in the background that can't be shown is told, and nothing ends", async () => {
    await ok(`setTimeout(() => ${json("1n")}); setTimeout(() => { throw Object.create(null) }); 0`);
    await kernel.until(({ content }) => textOf(content["text"]).includes("application/json can't be shown"));
    await alive();
  });

  test("signed messages whose parts are null, or of other types, are refused", async () => {
    for (const part of [2, 3, 5]) {
      for (const value of ["null", "[]", "3", '"x"', '{"msg_id":null,"msg_type":{}}']) {
        const frames = kernel.signer.pack(kernel.signer.message("execute_request", { code: "1" }));
        const parts = frames.slice(2).map((frame, i) => (i === part - 2 ? value : String(frame)));
        kernel.sendRaw("shell", ["<IDS|MSG>", kernel.signer.sign(parts), ...parts]);
        kernel.sendRaw("control", ["<IDS|MSG>", kernel.signer.sign(parts), ...parts]);
      }
    }
    await kernel.request("shell", "complete_request", { code: 5, cursor_pos: {} });
    await kernel.request("shell", "inspect_request", { code: "x", cursor_pos: -3 });
    await kernel.request("shell", "history_request", { hist_access_type: null, n: "x", pattern: 3 });
    await kernel.request("shell", "execute_request", { code: null, user_expressions: 7 });
    await alive();
  });

  // Strangers: they know the sockets, and not the key.

  const dial = async (channel: Channel): Promise<Socket> => {
    const address = readConnectionFile(join(kernel.folder, "connection.json")).addresses[channel];
    const socket = connect("path" in address ? address : { ...address });
    socket.on("error", () => {});
    await once(socket, "connect");
    return socket;
  };
  const greeting = Buffer.alloc(64);
  greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3]);
  greeting.write("NULL", 12);
  const ready = Buffer.from("\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB", "latin1");
  const closed = async (socket: Socket): Promise<void> => {
    socket.resume();
    if (!socket.closed) await new Promise((done) => socket.once("close", done)); // an error before it is welcome
  };
  const long = (flags: number, size: bigint): Buffer => {
    const header = Buffer.alloc(9);
    header[0] = flags;
    header.writeBigUInt64BE(size, 1);
    return header;
  };

  test("a frame that never ends, before the handshake or after it, ends the connection", async () => {
    for (const channel of ["shell", "control", "stdin", "iopub", "hb"] as const) {
      const before = await dial(channel);
      before.write(Buffer.concat([greeting, long(2, 1_000_000_000n)]));
      await closed(before);
      const after = await dial(channel);
      after.write(Buffer.concat([greeting, ready, long(2, 2n ** 40n)]));
      await closed(after);
      const parts = await dial(channel);
      parts.write(Buffer.concat([greeting, ready, Buffer.alloc(200_000, Buffer.from([1, 0]))]));
      await closed(parts);
    }
    await alive();
  });

  test("memory for messages that don't end is limited for all connections together", async () => {
    const chunk = Buffer.alloc(60_000);
    const sockets = await Promise.all(Array.from({ length: 8 }, () => dial("iopub")));
    const ends = sockets.map(closed);
    for (const socket of sockets) socket.write(Buffer.concat([greeting, ready, long(2, 65_000n), chunk]));
    await Promise.any(ends);
    for (const socket of sockets) socket.destroy();
    await alive();
  });

  test("200,000 subscriptions end the connection", async () => {
    const socket = await dial("iopub");
    const subscription = Buffer.from([0, 3, 1, 65, 66]);
    socket.write(Buffer.concat([greeting, ready, Buffer.alloc(200_000 * 5, subscription)]));
    await closed(socket);
    await alive();
  });

  test("subscribers that never read are let go, and those that do lose nothing", async () => {
    const deaf = await Promise.all(Array.from({ length: 12 }, () => dial("iopub")));
    for (const socket of deaf) socket.pause().write(Buffer.concat([greeting, ready, Buffer.from([0, 1, 1])]));
    await ok("0");
    const { stdout } = await ok("for (let i = 0; i < 60; i++) process.stdout.write('x'.repeat(1e6)); 0");
    assert.equal(stdout.length, 60e6);
    await Promise.any(deaf.map(closed));
    for (const socket of deaf) socket.destroy();
    await alive();
  });

  test("connections that say nothing give way to others", async () => {
    const silent = await Promise.all(Array.from({ length: 300 }, () => dial("shell")));
    const gone = silent.filter((socket) => socket.resume()).map(closed);
    const late = await dial("shell");
    late.write(Buffer.concat([greeting, ready]));
    await Promise.race(gone);
    await new Promise((done) => setTimeout(done, 100));
    assert.equal(late.closed, false);
    late.destroy();
    for (const socket of silent) socket.destroy();
    await alive();
  });

  test("many messages without a signature end the connection", async () => {
    const socket = await dial("control");
    const frame = Buffer.from([0, 1, 65]);
    socket.write(Buffer.concat([greeting, ready, Buffer.alloc(3 * 1000, frame)]));
    await closed(socket);
    await alive();
  });
});

test("a kernel on TCP listens on the address of its connection file alone", { timeout }, async () => {
  await using kernel = await KernelClient.start({ transport: "tcp" });
  const found = listeningSockets([kernel.process.pid!]);
  assert.equal(found.length, 5, found.join(", "));
  for (const address of found) assert.match(address, /^127\.0\.0\.1:/);
});

test("a stranger that doesn't finish its greeting is let go after some seconds", { timeout }, async () => {
  await using kernel = await KernelClient.start();
  const { addresses } = readConnectionFile(join(kernel.folder, "connection.json"));
  const socket = connect(addresses.shell as { path: string });
  socket.resume();
  socket.write(Buffer.from([0xff]));
  await new Promise((done) => socket.once("close", done));
  assert.equal((await kernel.execute("1")).result, "1");
});
