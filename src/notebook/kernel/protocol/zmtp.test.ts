import assert from "node:assert/strict";
import { createServer, connect, type Socket } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { test } from "node:test";

import { ZmtpConnection } from "./zmtp.ts";

/** Two ends of a connection, and what the second received. */
async function pair(): Promise<{ client: Socket; server: Socket; end: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-zmtp-"));
  const listener = createServer().listen(join(folder, "s"));
  const accepted = once(listener, "connection") as Promise<[Socket]>;
  const client = connect(join(folder, "s"));
  const [server] = await accepted;
  const end = async (): Promise<void> => {
    client.destroy();
    server.destroy();
    await new Promise((done) => listener.close(done));
    rmSync(folder, { recursive: true });
  };
  return { client, server, end };
}

const nothing = { onReady: () => {}, onMessage: () => {}, onClose: () => {} };

test("greets, names itself, and carries messages of any size whole and in order", async () => {
  const { client, server, end } = await pair();
  const got: string[][] = [];
  const sizes = [0, 1, 255, 256, 70_000, 3_000_000];
  const received = new Promise<string>((done) => {
    let identity = "";
    const _receiver = new ZmtpConnection(server, "ROUTER", {
      ...nothing,
      onReady: (_, own) => (identity = own),
      onMessage: (_, frames) => {
        got.push(frames.map((frame) => frame.toString()));
        if (got.length === sizes.length + 1) done(identity);
      },
    });
    assert.ok(_receiver);
  });
  const sender = new ZmtpConnection(client, "DEALER", nothing, "me");
  sender.send(["first", "", "last"]); // before the handshake
  for (const size of sizes) sender.send(["x".repeat(size)]);
  assert.equal(await received, "me");
  assert.deepEqual(got[0], ["first", "", "last"]);
  assert.deepEqual(
    got.slice(1).map(([frame]) => frame!.length),
    sizes,
  );
  await end();
});

test("bytes may come one at a time", async () => {
  const { client, server, end } = await pair();
  const message = new Promise<Buffer[]>((done) => {
    assert.ok(new ZmtpConnection(server, "REP", { ...nothing, onMessage: (_, frames) => done(frames) }));
  });
  const greeting = Buffer.alloc(64);
  greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1]);
  greeting.write("NULL", 12);
  const ready = Buffer.from("\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ", "latin1");
  ready[1] = ready.length - 2;
  for (const byte of Buffer.concat([greeting, ready, Buffer.from("\x01\x00\x00\x02hi", "latin1")])) {
    client.write(Buffer.from([byte]));
    await new Promise((done) => setImmediate(done));
  }
  assert.deepEqual((await message).map(String), ["", "hi"]);
  await end();
});

test("what is not ZMTP is hung up on", async () => {
  for (const bytes of [
    "GET / HTTP/1.1\r\n".padEnd(80),
    "\xff".padEnd(9, "\0") + "\x7f\x01" + "\0".repeat(60),
  ]) {
    const { client, server, end } = await pair();
    const closed = new Promise<void>((done) => {
      assert.ok(new ZmtpConnection(server, "ROUTER", { ...nothing, onClose: () => done() }));
    });
    client.on("error", () => {});
    client.write(Buffer.from(bytes, "latin1"));
    await closed;
    await end();
  }
});
