// Several ranks: their places, their calls, their words, and that they are joined.
import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { type ActorEvent, SpawnActor } from "../../src/actors/index.ts";
import { children, configFor } from "./setting.ts";
import { Counter } from "./toys/counter.ts";
import { Summer } from "./toys/summer.ts";

const quiet = { presenter: false } as const;

void suite("a mesh of two", { timeout: 300_000 }, () => {
  void test("every rank has its place; calls go to rank 0, one rank, or all", async () => {
    const events: ActorEvent[] = [];
    await using spawner = new SpawnActor(Counter, configFor(2, "", { training: { steps: 2 } }), {
      ...quiet,
      onEvent: (event) => events.push(event),
    });
    const actor = await spawner.spawn();
    await spawner.setup();
    assert.equal(await actor.rank, 0);
    assert.equal(await actor.at(1).rank, 1);
    assert.deepEqual(await actor.all.rank, [0, 1]);
    assert.deepEqual(await actor.all.localRank, [0, 1]);
    assert.deepEqual(await actor.all.worldSize, [2, 2]);
    assert.deepEqual(await actor.at(1).environment(), {
      RANK: "1",
      LOCAL_RANK: "1",
      WORLD_SIZE: "2",
      LOCAL_WORLD_SIZE: "2",
    });
    assert.equal(new Set(await actor.all.pid).size, 2);
    assert.deepEqual(await actor.all.add(1, 2), [3, 3]);
    await assert.rejects(actor.at(2).rank, /^UserError: rank: expected 0 to 1, found 2/);

    const notes = () => events.filter((event) => event.type === "note" && event.text === "together").length;
    assert.equal(await actor.together(), "rank 0 of 2");
    assert.equal(notes(), 2, "a collective method runs on every rank");
    assert.equal(await actor.at(1).together(), "rank 1 of 2");
    assert.deepEqual(await actor.all.together(), ["rank 0 of 2", "rank 1 of 2"]);
    assert.equal(notes(), 6);

    await actor.at(1).print("one\ntwo");
    while (events.filter((event) => event.type === "log").length < 4) await actor.rank;
    const lines = events.filter((event) => event.type === "log");
    assert.deepEqual(lines.map(({ rank, stream, text }) => `${rank} ${stream} ${text}`).toSorted(), [
      "1 stderr error one",
      "1 stderr two",
      "1 stdout one",
      "1 stdout two",
    ]);
    assert.deepEqual(await spawner.run(), { sum: 3, stopped: false });
  });

  void test("the ranks are joined before setup, and talk", async () => {
    const spawner = new SpawnActor(Summer, configFor(2), quiet);
    const actor = await spawner.spawn();
    await spawner.setup();
    assert.deepEqual(await actor.all.ranksAtSetup, [
      [0, 1],
      [0, 1],
    ]);
    assert.equal(await spawner.run(), 3);
    assert.deepEqual(await actor.all.sum(5), [10, 10]);
    await spawner.cleanup();
    assert.deepEqual(children(), []);
  });

  void test("the threads of the machine are divided among the ranks", async () => {
    const before = process.env["OMP_NUM_THREADS"];
    delete process.env["OMP_NUM_THREADS"];
    try {
      const threads = async (procs: number) => {
        await using spawner = new SpawnActor(Summer, configFor(procs), quiet);
        return await (
          await spawner.spawn()
        ).threads;
      };
      const [whole, half] = [await threads(1), await threads(2)];
      assert.equal(half, Math.max(1, Math.floor(whole / 2)));
    } finally {
      if (before !== undefined) process.env["OMP_NUM_THREADS"] = before;
    }
  });

  void test("GPUs that aren't there: what was expected and found", async () => {
    const gpus = configFor(2, "", { processes: { with_gpus: true } });
    const env = process.env["CUDA_VISIBLE_DEVICES"];
    process.env["CUDA_VISIBLE_DEVICES"] = "";
    try {
      await assert.rejects(new SpawnActor(Counter, gpus, quiet).spawn(), {
        name: "UserError",
        message:
          /^rank \d: processes\.procs: expected at most as many processes as GPUs with processes\.with_gpus: true, found 2 processes and 0 GPUs \(libtorch [\w.+]+\)\. Check that there are enough GPUs \(nvidia-smi, CUDA_VISIBLE_DEVICES\), that libtorch can use them \(npx torchforge doctor\), and that no other process has them; or lower processes\.procs, or set processes\.with_gpus: false\. With comm\.backend: gloo several processes can share a GPU, slowly\.$/,
      });
    } finally {
      if (env === undefined) delete process.env["CUDA_VISIBLE_DEVICES"];
      else process.env["CUDA_VISIBLE_DEVICES"] = env;
    }
    assert.deepEqual(children(), []);
  });
});
