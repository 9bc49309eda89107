// Who can connect to a run: nobody from elsewhere. Every listening socket of two ranks, of their controller and of a notebook's
// kernel is on loopback; and a store is this run's, or the rank says so.
import assert from "node:assert/strict";
import { createServer, type AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { after, before, describe, test } from "node:test";

import { SpawnActor } from "../../src/actors/index.ts";
import { Store } from "../../src/comm/index.ts";
import { isLoopback, listeningSockets } from "../listening-sockets.ts";
import { children, configFor } from "./setting.ts";
import { Summer } from "./toys/summer.ts";

const timeout = 120_000;

test("what listens is found, and loopback told from the rest", async () => {
  const everywhere = createServer().listen(0, "::");
  const here = createServer().listen(0, "127.0.0.1");
  await Promise.all([everywhere, here].map((one) => new Promise((done) => one.once("listening", done))));
  const found = listeningSockets([process.pid]);
  const of = (server: typeof here): string =>
    found.find((address) => address.endsWith(`:${(server.address() as AddressInfo).port}`))!;
  assert.equal(isLoopback(of(everywhere)), false);
  assert.equal(of(here), `127.0.0.1:${(here.address() as AddressInfo).port}`);
  assert.equal(isLoopback(of(here)), true);
  everywhere.close();
  here.close();
});

test("two ranks: the store and Gloo's sockets are on loopback", { timeout }, async () => {
  await using spawner = new SpawnActor(Summer, configFor(2), { presenter: false });
  await spawner.spawn();
  await spawner.setup();
  const found = listeningSockets([process.pid, ...children()]);
  assert(found.length >= 2, `the store and Gloo listen: ${found.join(", ")}`);
  for (const address of found) assert(isLoopback(address), found.join(", "));
  assert.equal(await spawner.run(), 3);
});

describe("a store", () => {
  let master: Store;
  before(async () => {
    master = await Store.open({ host: "127.0.0.1", port: 0, isMaster: true, secret: "ours", prefix: "run" });
  });
  after(() => master.close());

  test("listens on the address that is meant, by whatever name", async () => {
    const listening = (port: number): string =>
      listeningSockets([process.pid]).find((address) => address.endsWith(`:${port}`))!;
    assert.equal(listening(master.port), `127.0.0.1:${master.port}`);
    await using named = await Store.open({ host: "localhost", port: 0, isMaster: true });
    assert(isLoopback(listening(named.port)), listening(named.port));
    const outer = Object.values(networkInterfaces())
      .flat()
      .find((one) => one!.family === "IPv4" && !one!.internal);
    if (outer === undefined) return;
    await using outside = await Store.open({ host: outer.address, port: 0, isMaster: true });
    assert.equal(listening(outside.port), `${outer.address}:${outside.port}`);
  });

  test("of this run is known by its secret; one of another run is told", async () => {
    const { port } = master;
    await using same = await Store.open({ host: "127.0.0.1", port, secret: "ours", prefix: "run" });
    await master.set("key", "value");
    assert.equal(await same.get("key"), "value");
    for (const secret of ["theirs", "our"]) {
      await assert.rejects(Store.open({ host: "127.0.0.1", port, secret, timeoutSeconds: 1 }), {
        name: "UserError",
        message:
          `Store at 127.0.0.1:${port}: expected the store of this run, found one without this run's secret within 1 s. ` +
          "Another run has the port: choose another MASTER_PORT. Or its processes were given different values of TORCHFORGE_STORE_SECRET.",
      });
    }
    await using stranger = await Store.open({ host: "127.0.0.1", port, prefix: "run", timeoutSeconds: 5 });
    assert.equal(await stranger.check(["key"]), false, "keys carry the secret");
  });
});
