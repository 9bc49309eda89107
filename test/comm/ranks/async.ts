// Waiting must leave the event loop free, and keep nothing else from running.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import {
  allReduce,
  barrier,
  destroyProcessGroup,
  initProcessGroup,
  irecv,
  isend,
  isInitialized,
  worksInFlight,
  worldStore,
} from "../../../src/comm/index.ts";
import { full, zeros } from "../../../src/torch/index.ts";
import { check, joinWorld, leave, numbersOf, rank, size } from "../rank.ts";

await joinWorld();

async function ticksDuring(action: () => PromiseLike<unknown>): Promise<number> {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 10);
  await action();
  clearInterval(timer);
  return ticks;
}

await check("a timer ticks while a collective is awaited", async () => {
  barrier();
  if (rank === 1) await sleep(600);
  const ticks = await ticksDuring(() => allReduce(full([4], 1), { async: true }));
  if (rank === 0) assert.ok(ticks >= 8, `${ticks} ticks in 600 ms`);
});

await check("a timer doesn't tick while wait() blocks, and the result is there", async () => {
  barrier();
  if (rank === 1) await sleep(300);
  const x = full([4], rank + 1);
  const work = allReduce(x, { async: true });
  assert.equal(work.wait(), x);
  assert.equal(work.isCompleted(), true);
  assert.deepEqual(numbersOf(x), [3, 3, 3, 3]);
  assert.equal(await work, x, "a second time, the other way");
});

await check("many receives that wait don't keep files from being read", async () => {
  barrier();
  const tensors = Array.from({ length: 16 }, () => zeros([8]));
  if (rank === 0) {
    const works = tensors.map((x, i) => irecv(x, 1, { tag: i }));
    const all = Promise.all(works);
    const began = performance.now();
    const text = await readFile(new URL(import.meta.url), "utf8");
    assert.ok(text.length > 0);
    assert.ok(performance.now() - began < 650, "the file came before the messages");
    await all;
    for (const [i, x] of tensors.entries())
      assert.deepEqual(
        numbersOf(x),
        Array.from({ length: 8 }, () => i),
      );
  } else {
    await sleep(700);
    await Promise.all(tensors.map((_, i) => isend(full([8], i), 0, { tag: i })));
  }
});

await check("calls nobody waits for are let go", async () => {
  barrier();
  (() => {
    for (let i = 0; i < 20; i++) allReduce(full([4], 1), { async: true });
  })();
  barrier();
  assert.equal(worksInFlight(), 20);
  for (let i = 0; i < 50 && worksInFlight() > 0; i++) {
    globalThis.gc!();
    await sleep(20);
  }
  assert.equal(worksInFlight(), 0);
});

await check("destroy, then join again over the same store", async () => {
  const store = worldStore();
  await barrier({ async: true });
  await destroyProcessGroup();
  assert.equal(isInitialized(), false);
  assert.throws(
    () => barrier(),
    /this process has joined no others; call and await initProcessGroup\(\) first/,
  );
  await initProcessGroup({ store: store.withPrefix("second"), rank, worldSize: size });
  await assert.rejects(initProcessGroup({ store, rank, worldSize: size }), /this process has joined already/);
  const x = full([4], rank + 1);
  allReduce(x);
  assert.deepEqual(numbersOf(x), [3, 3, 3, 3]);
  await destroyProcessGroup();
});
leave();
