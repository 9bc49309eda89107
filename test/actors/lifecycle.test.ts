// The life of an actor: the order of its phases, each once; what it gives; the caller's configuration.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { suite, test } from "node:test";

import { type ActorEvent, type PresenterFactory, runActor, SpawnActor } from "../../src/actors/index.ts";
import { environment } from "../programs.ts";
import { children, configFor } from "./setting.ts";
import { Counter, hidden, Steady } from "./toys/counter.ts";

const quiet = { presenter: false } as const;

void suite("the life of an actor", { timeout: 300_000 }, () => {
  void test("runActor: all phases, each once, and no process stays", async () => {
    const events: ActorEvent[] = [];
    const result = await runActor(Counter, configFor(1, "", { training: { steps: 5 } }), {
      ...quiet,
      onEvent: (event) => events.push(event),
    });
    assert.deepEqual(result, { sum: 15, stopped: false });
    assert.deepEqual(
      events.filter((event) => event.type === "phase").map(({ phase, state }) => `${phase} ${state}`),
      ["spawn", "setup", "run", "cleanup"].flatMap((phase) => [`${phase} begun`, `${phase} done`]),
    );
    const notes = events.filter((event) => event.type === "note").map(({ text }) => text);
    assert.deepEqual(notes, ["counted to 5", "cleaned up 1 times"]);
    assert.equal(events.filter((event) => event.type === "progress").length, 5);
    assert.deepEqual(children(), []);
  });

  void test("phase by phase, with looks into the actor between them", async () => {
    const given = { model: { hf_assets_path: "none" }, training: { steps: 3 }, processes: { procs: 1 } };
    const before = structuredClone(given);
    const spawner = new SpawnActor(Counter, given, quiet);
    assert.equal(spawner.state, "new");
    const actor = await spawner.spawn();
    assert.equal(spawner.actor, actor);
    assert.equal(await actor.setups, 0);
    await spawner.setup();
    assert.equal(await actor.setups, 1);
    assert.equal(await actor.currentStep, 0);
    assert.equal(await actor.device, "cpu");
    assert.notEqual(await actor.pid, process.pid);
    assert.deepEqual(spawner.pids, [await actor.pid]);
    assert.deepEqual(await spawner.run(), { sum: 6, stopped: false });
    assert.equal(await actor.currentStep, 3);
    assert.deepEqual(await spawner.run(), { sum: 6, stopped: false }, "run may run again");
    await spawner.cleanup();
    await spawner.cleanup();
    assert.equal(spawner.state, "over");
    await assert.rejects(actor.currentStep, /^UserError: Counter has been cleaned up; spawn it again/);
    assert.deepEqual(given, before, "the caller's configuration is as it was");
    assert.deepEqual(children(), []);
  });

  void test("a phase out of order is refused with the order", async () => {
    const order = "The order is spawn(), setup(), run(), cleanup(); runFullLifecycle() does all of them.";
    await using spawner = new SpawnActor(Counter, configFor(1), quiet);
    assert.throws(() => spawner.actor, { message: `actor: there is none before spawn(). ${order}` });
    await assert.rejects(spawner.setup(), {
      name: "UserError",
      message: `setup() is out of order for Counter: nothing has run. ${order}`,
    });
    await assert.rejects(spawner.run(), { message: /^run\(\) is out of order for Counter: nothing has run/ });
    const spawning = spawner.spawn();
    await assert.rejects(spawner.setup(), {
      message: `setup(): spawn() of Counter is still under way; await it first. ${order}`,
    });
    await spawning;
    await assert.rejects(spawner.spawn(), {
      message: /^spawn\(\) is out of order for Counter: spawn\(\) has run/,
    });
    await assert.rejects(spawner.run(), {
      message: /^run\(\) is out of order for Counter: spawn\(\) has run/,
    });
    await spawner.setup();
    await assert.rejects(spawner.setup(), {
      message: /^setup\(\) is out of order for Counter: setup\(\) has run/,
    });
    assert.equal(await spawner.actor.setups, 1);
    await spawner.cleanup();
    await assert.rejects(spawner.run(), {
      message: `run(): Counter has been cleaned up; make a new SpawnActor. ${order}`,
    });
  });

  void test("the configuration changes between setup and run, where the actor heeds it", async () => {
    const config = configFor(2, "", { training: { steps: 3 } });
    await using spawner = new SpawnActor(Counter, config, quiet);
    await assert.rejects(spawner.configure({ training: { steps: 4 } }), {
      name: "UserError",
      message: /^configure\(\) is out of order for Counter: nothing has run\. The order is spawn/,
    });
    const actor = await spawner.spawn();
    await spawner.setup();
    await spawner.configure({ training: { steps: 5 } });
    assert.equal(config.training.steps, 3, "the caller's is as it was");
    assert.equal((await actor.config).training.steps, 5);
    assert.deepEqual(await spawner.run(), { sum: 15, stopped: false });
    assert.deepEqual(await actor.all.currentStep, [5, 5]);
    await spawner.configure(["training.steps=6", "lr_scheduler.warmup_steps=1"]);
    assert.equal((await spawner.run()).sum, 21, "and between two runs");
    await assert.rejects(spawner.configure({ training: { steps: 7, seq_len: 64 }, optimizer: { lr: 1 } }), {
      name: "UserError",
      message:
        "configure(): optimizer.lr, training.seq_len can't change after setup(); after it Counter takes: training.steps, lr_scheduler. " +
        "For anything else make a new SpawnActor with config.with({ … }).",
    });
    await assert.rejects(spawner.configure({ training: { steps: 2 } }), {
      message: /^rank \d: that is less than was counted$/,
    });
    await assert.rejects(spawner.configure({ training: { stepz: 2 } } as never), { name: "ConfigError" });
    assert.equal(spawner.config.training.steps, 6, "what was refused changed nothing");
    assert.equal((await spawner.run()).sum, 21);
  });

  void test("a default that follows a key which changes stays what setup() has made use of", async () => {
    await using spawner = new SpawnActor(Steady, configFor(1, "", { training: { steps: 10 } }), quiet);
    await spawner.spawn();
    await spawner.setup();
    await spawner.configure({ training: { steps: 20 } });
    assert.deepEqual([spawner.config.training.steps, spawner.config.lr_scheduler.warmup_steps], [20, 2]);
    assert.equal((await spawner.run()).sum, 210);
    await assert.rejects(spawner.configure({ training: { steps: 30 }, lr_scheduler: { warmup_steps: 3 } }), {
      message:
        /^configure\(\): lr_scheduler\.warmup_steps can't change after setup\(\); after it Steady takes: training\.steps\./,
    });
  });

  void test("a wish to stop is heard from the first moment on", async () => {
    const config = configFor(1, "slow 5", { training: { steps: 100_000 } });
    const presenter: PresenterFactory = (shown) => ({
      event: (event) =>
        event.type === "phase" && event.phase === "spawn" && event.state === "begun" && shown.stop(),
      close: () => undefined,
    });
    assert.deepEqual(await runActor(Counter, config, { presenter }), { sum: 0, stopped: true });
  });

  void test("cleanup before spawn does nothing; `await using` cleans up", async () => {
    await new SpawnActor(Counter, configFor(1), quiet).cleanup();
    let pid: number | undefined;
    {
      await using spawner = new SpawnActor(Counter, configFor(1), quiet);
      pid = await (await spawner.spawn()).pid;
    }
    assert.ok(pid > 0);
    assert.deepEqual(children(), []);
  });

  void test("stop ends run in good order, and run goes on after it", async () => {
    await using spawner = new SpawnActor(
      Counter,
      configFor(2, "slow 5", { training: { steps: 100_000 } }),
      quiet,
    );
    const actor = await spawner.spawn();
    await spawner.setup();
    const running = spawner.run();
    for await (const event of actor.events())
      if (event.type === "progress" && event.rank === 0 && event.done > 3) break;
    assert.ok((await actor.currentStep) > 3, "it answers while it runs");
    spawner.stop();
    assert.equal((await running).stopped, true);
    assert.equal(spawner.state, "ran");
    const again = spawner.run();
    for await (const event of actor.events())
      if (event.type === "progress" && event.rank === 0 && event.done === 3) break;
    spawner.stop();
    assert.ok((await again).sum >= 6);
  });

  void test("cleanup while it runs stops it first", async () => {
    const spawner = new SpawnActor(Counter, configFor(1, "slow 5", { training: { steps: 100_000 } }), quiet);
    await spawner.spawn();
    await spawner.setup();
    const running = spawner.run();
    await spawner.cleanup();
    assert.equal((await running).stopped, true);
    assert.deepEqual(children(), []);
  });

  void test("what is no actor is refused by name", () => {
    const make = (given: unknown) => () => new SpawnActor(given as typeof Counter, configFor(1));
    const message = (found: string) =>
      `SpawnActor: expected a class that extends BaseForgeActor, such as TrainerActor; found ${found}.`;
    assert.throws(make(Error), { name: "UserError", message: message("Error") });
    assert.throws(make("Counter"), { name: "UserError", message: message('text "Counter"') });
    assert.throws(make({}), { name: "UserError", message: message("an object of Object") });
    assert.throws(make(undefined), { name: "UserError", message: message("undefined") });
    assert.throws(() => new SpawnActor(Counter, { training: { stepz: 1 } } as never), {
      name: "ConfigError",
      message: /training\.stepz/,
    });
  });

  void test("a class that a worker can't get is refused with the lines that mend it", async () => {
    // eslint-disable-next-line no-eval -- as a notebook's cell is
    const evaluated = (0, eval)("(Base) => class MyTrainer extends Base {}") as (
      base: typeof Counter,
    ) => typeof Counter;
    await assert.rejects(runActor(evaluated(Counter), configFor(1), quiet), {
      name: "UserError",
      message:
        "MyTrainer is defined in a notebook cell or in evaluated code, which can't be sent to a worker process. Put the class into a file of its own, my-trainer.ts, exported, and import it:\n" +
        "  export class MyTrainer extends BaseForgeActor { … }   // in my-trainer.ts\n" +
        '  import { MyTrainer } from "./my-trainer.ts";   // here',
    });
    await assert.rejects(runActor(hidden(), configFor(1), quiet), {
      name: "UserError",
      message:
        /^Hidden: its file .*counter\.ts doesn't export it, so a worker process can't get it; write\n {2}export class Hidden extends …$/,
    });
    class Taken extends Counter {
      at(): void {}
    }
    assert.throws(() => new SpawnActor(Taken, configFor(1)), { message: /^Taken: at can't be a name/ });
  });

  void test("a class in the program's own file: refused, unless its spawning is guarded", () => {
    const program = join(import.meta.dirname, "toys", "lonely.ts");
    const run = (variables: NodeJS.ProcessEnv) =>
      spawnSync(process.execPath, [program], {
        env: { ...environment, ...variables },
        encoding: "utf8",
        timeout: 60_000,
      });
    const bare = run({});
    assert.match(bare.stderr, /Lonely: its file .*lonely\.ts spawns an actor when it is imported/);
    assert.match(bare.stderr, /or spawn inside `if \(import\.meta\.main\)/);
    assert.notEqual(bare.status, 0);
    const guarded = run({ GUARDED: "1" });
    assert.equal(guarded.stdout, "ran\n", guarded.stderr);
    assert.equal(guarded.status, 0);
  });
});
