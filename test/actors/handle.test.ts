// The handle: what crosses between the processes, and what is said of what can't.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { inspect } from "node:util";

import { type ActorHandle, SpawnActor } from "../../src/actors/index.ts";
import { configFor } from "./setting.ts";
import { Counter } from "./toys/counter.ts";

void suite("the handle of an actor", { timeout: 120_000 }, () => {
  const config = configFor(1, "", { training: { steps: 4 } });
  const spawner = new SpawnActor(Counter, config, { presenter: false });
  let actor: ActorHandle<Counter>;
  before(async () => {
    actor = await spawner.spawn();
    await spawner.setup();
  });
  after(() => spawner.cleanup());

  void test("plain data crosses both ways", async () => {
    const values = [
      1,
      "ä",
      null,
      undefined,
      10n,
      NaN,
      -0,
      [1, [2]],
      { a: { b: [new Date(3)] } },
      new Map([["k", new Set([1])]]),
      new Float32Array([1.5, 2]),
    ];
    for (const value of values) assert.deepEqual(await actor.echo(value), value);
    assert.ok((await actor.begun) instanceof Date, "getters are read");
    const step: Promise<number> = actor.currentStep;
    assert.equal(await step, 0);
    assert.equal(await actor.config, config);
    assert.equal((await actor.parallelDims).shard, 1);
    assert.equal(await actor.model, undefined);
    const others = actor as unknown as Record<string, Promise<unknown>>;
    assert.equal(await others["somethingElse"], undefined);
    await assert.rejects(others["currentStepp"]!, {
      name: "UserError",
      message: "actor.currentStepp isn't there; did you mean actor.currentStep?",
    });
  });

  void test("what can't cross is named", async () => {
    await assert.rejects(actor.thing, {
      name: "UserError",
      message:
        /^actor\.thing\.list\[0\] is a Counter, which can't leave its process: only plain data crosses/,
    });
    await assert.rejects(actor.echo({ f: () => 1 }), {
      name: "UserError",
      message: /^argument 1 of actor\.echo\(\)\.f is a function, which can't leave its process/,
    });
  });

  void test("an error keeps name, message, stack and rank", async () => {
    await assert.rejects(actor.fail("no luck"), (error: Error & { rank?: number }) => {
      assert.equal(error.name, "Trouble");
      assert.equal(error.message, "no luck");
      assert.match(error.stack!, /^Trouble: no luck\n {4}at Counter\.fail \(.*toys\/counter\.ts:\d+:\d+\)/);
      assert.equal(error.rank, 0);
      return true;
    });
    assert.equal(await actor.add(1, 1), 2, "the actor lives on");
  });

  void test("it is no promise, and shows what it is", async () => {
    assert.equal(await Promise.resolve(actor), actor);
    assert.equal(inspect(actor), "Counter (ready, 1 process)");
    assert.equal(inspect(actor.at(0)), "Counter (ready, 1 process), rank 0");
    assert.equal("setup" in actor && (actor as unknown as Record<string, unknown>)["setup"], undefined);
  });

  void test("events: several readers, each from when it began; they end with run", async () => {
    const read = async () => {
      const seen: number[] = [];
      for await (const event of actor.events()) if (event.type === "progress") seen.push(event.done);
      return seen;
    };
    const readers = [read(), read()];
    await spawner.run();
    assert.deepEqual(await Promise.all(readers), [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
  });

  void test("without need of it, libtorch isn't loaded, here or there", async () => {
    assert.deepEqual(await actor.libraries(), []);
    const report = process.report.getReport() as unknown as { sharedObjects: string[] };
    assert.deepEqual(
      report.sharedObjects.filter((file) => file.includes("torch")),
      [],
    );
  });
});
