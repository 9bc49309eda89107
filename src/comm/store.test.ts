import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { UserError } from "../util/index.ts";
import { Store } from "./store.ts";

const host = "127.0.0.1";
let master: Store;
let client: Store;

before(async () => {
  master = await Store.open({ host, port: 0, isMaster: true, prefix: "test", timeoutSeconds: 20 });
  client = await Store.open({ host, port: master.port, prefix: "test", timeoutSeconds: 20 });
});
after(async () => {
  await client.close();
  await master.close();
});

test("port 0 becomes a real one", () => {
  assert.ok(master.port > 0 && master.port < 65_536);
  assert.equal(client.port, master.port);
});

test("set, get, add, compareSet, check, deleteKey", async () => {
  await master.set("a", "Zürich");
  assert.equal(await client.get("a"), "Zürich");
  await client.set("bytes", Uint8Array.of(0, 255, 0, 7));
  assert.deepEqual([...(await master.getBytes("bytes"))], [0, 255, 0, 7]);
  assert.equal(await client.add("counter", 5), 5);
  assert.equal(await master.add("counter", -2), 3);
  assert.equal(await client.compareSet("a", "wrong", "Bern"), "Zürich");
  assert.equal(await client.compareSet("a", "Zürich", "Bern"), "Bern");
  assert.equal(await client.compareSet("fresh", "", "made"), "made");
  assert.equal(await master.check(["a", "counter"]), true);
  assert.equal(await master.check(["a", "nothing"]), false);
  assert.equal(await master.deleteKey("a"), true);
  assert.equal(await master.deleteKey("a"), false);
  assert.ok((await master.numKeys()) >= 3);
});

test("prefixes keep keys apart", async () => {
  const [x, y] = [client.withPrefix("x"), client.withPrefix("y")];
  await x.set("key", "of x");
  await y.set("key", "of y");
  assert.equal(await x.get("key"), "of x");
  assert.equal(await master.get("y/key"), "of y");
  await x.close();
  assert.equal(await y.get("key"), "of y", "closing one view leaves the others");
  await y.close();
});

test("a get waits for the key; meanwhile timers and other calls on the same store run", async () => {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 10);
  const waiting = Array.from({ length: 8 }, (_, i) => client.get(`late-${i}`));
  const all = client.wait(["late-0", "late-7"]);
  await client.set("other", "1");
  await sleep(200);
  for (let i = 0; i < 8; i++) await client.set(`late-${i}`, String(i));
  assert.deepEqual(
    await Promise.all(waiting),
    Array.from({ length: 8 }, (_, i) => String(i)),
  );
  await all;
  clearInterval(timer);
  assert.ok(ticks >= 5, `${ticks} ticks in 200 ms`);
});

test("a key that isn't set in time", async () => {
  const began = performance.now();
  await assert.rejects(client.get("never", { timeoutSeconds: 0.2 }), (error) => {
    assert.ok(error instanceof UserError);
    assert.match(
      error.message,
      /^Store at 127\.0\.0\.1:\d+: "never" was not set within 0\.2 s\. Is the process that sets it running\?$/,
    );
    return true;
  });
  assert.ok(performance.now() - began < 5_000);
  await assert.rejects(
    client.wait(["never", "ever"], { timeoutSeconds: 0.1 }),
    /"never", "ever" were not set within 0\.1 s/,
  );
  await client.set("still", "usable");
});

test("nobody at the address, a taken port, wrong options", async () => {
  const listener = createServer().listen(0, host);
  await new Promise((done) => listener.once("listening", done));
  const { port } = listener.address() as { port: number };
  await assert.rejects(
    Store.open({ host, port, isMaster: true, timeoutSeconds: 2 }),
    new RegExp(`Store: can't listen on 127\\.0\\.0\\.1:${port}\\. Is the port taken\\?`),
  );
  await new Promise((done) => listener.close(done));
  await assert.rejects(
    Store.open({ host, port, timeoutSeconds: 1 }),
    new RegExp(
      `Store: nobody answered at 127\\.0\\.0\\.1:${port} within 1 s\\. Check that the process that hosts`,
    ),
  );
  await assert.rejects(Store.open({ host, port: 0 }), /expected a port between 1 and 65535, found 0/);
  await assert.rejects(
    Store.open({ host, port: 70_000, isMaster: true }),
    /1 and 65535, or 0 for any free one, found 70000/,
  );
  await assert.rejects(
    Store.open({ host, port: 1, timeoutSeconds: -1 }),
    /Store: timeoutSeconds: expected seconds above 0/,
  );
});

test("a closed store says so", async () => {
  const store = await Store.open({ host, port: master.port });
  await store.close();
  await assert.rejects(async () => await store.get("a"), /the store was closed/);
  await store.close();
});
