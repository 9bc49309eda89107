// What goes wrong, and that it ends well: the error says which rank and what, everyone who can cleans up, no process and
// no temporary file stays.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, suite, test } from "node:test";

import {
  type ActorClass,
  type ActorErrorFacts,
  type ActorEvent,
  type BaseForgeActor,
  runActor,
  SpawnActor,
} from "../../src/actors/index.ts";
import { analyze } from "../../src/cli/commands/comm/analyze.ts";
import { readDumps } from "../../src/cli/commands/comm/dumps.ts";
import type { ConfigInput } from "../../src/config/index.ts";
import { gone } from "../cli/forge.ts";
import { environment } from "../programs.ts";
import { children, configFor } from "./setting.ts";
import { Counter } from "./toys/counter.ts";
import { Clumsy, Stillborn, Waiter } from "./toys/troubled.ts";

process.env["OMP_NUM_THREADS"] = "1";
const folder = mkdtempSync(join(tmpdir(), "torchforge-recorded-"));
after(() => rmSync(folder, { recursive: true, force: true }));
// A folder of our own, which the workers take over: whatever is left in it is ours.
const temporary = mkdtempSync(join(tmpdir(), "torchforge-faults-"));
process.env["TMPDIR"] = temporary;
after(() => rmSync(temporary, { recursive: true, force: true }));

function nothingLeft(): void {
  assert.deepEqual(children(), []);
  assert.deepEqual(readdirSync(temporary), []);
}

/** With the flight recorder; an actor whose runs have no folder writes into job.dump_folder. */
const recorded = (train_timeout_seconds: number): ConfigInput => ({
  comm: { train_timeout_seconds, trace_buf_size: 10 },
  job: { dump_folder: folder },
});

/** Runs to the failure. Gives the error, and the notes by rank. */
async function failing<A extends BaseForgeActor>(
  actorClass: ActorClass<A>,
  procs: number,
  description: string,
  more: ConfigInput = {},
): Promise<{ error: Error & ActorErrorFacts; notes: string[]; spawner: SpawnActor<A> }> {
  const notes: string[] = [];
  const spawner = new SpawnActor(
    actorClass,
    configFor(procs, description, { training: { steps: 3 }, ...more }),
    {
      presenter: false,
      onEvent: (event: ActorEvent) => {
        if (event.type === "note") notes.push(`${event.rank} ${event.text}`);
      },
    },
  );
  try {
    await spawner.runFullLifecycle();
  } catch (error) {
    return { error: error as Error, notes, spawner };
  }
  throw new Error("nothing failed");
}

void suite("what goes wrong with an actor", { timeout: 900_000 }, () => {
  afterEach(nothingLeft);

  for (const phase of ["setup", "run", "cleanup"]) {
    void test(`a worker killed in ${phase}`, async () => {
      const { error, notes, spawner } = await failing(Counter, 2, `kill in ${phase} on 1`);
      assert.equal(error.name, "WorkerDied");
      assert.equal(error.rank, 1);
      assert.equal(
        error.message,
        "the worker process of rank 1 was ended by SIGKILL. If you didn't end it, the system most likely ran out of memory: " +
          "lower training.local_batch_size or training.seq_len.\nIts last lines:\nlast words of rank 1",
      );
      assert.equal(
        notes.filter((note) => note === "0 cleaned up 1 times").length,
        1,
        "the other one cleans up, once",
      );
      assert.equal(spawner.state, "over");
    });

    void test(`a worker that throws in ${phase}`, async () => {
      const { error, notes } = await failing(Counter, 2, `throw in ${phase} on 1`);
      assert.equal(error.name, "Trouble");
      assert.equal(error.rank, 1);
      assert.equal(error.message, `rank 1: trouble in ${phase}\nIts last lines:\nlast words of rank 1`);
      assert.match(error.stack!, /^Trouble: rank 1: .*\nIts last lines:\n.*\n {4}at .*counter\.ts:\d+/);
      const cleaned = notes.filter((note) => note.endsWith("cleaned up 1 times"));
      assert.deepEqual(cleaned.toSorted(), [
        "0 cleaned up 1 times",
        ...(phase === "cleanup" ? [] : ["1 cleaned up 1 times"]),
      ]);
      assert.ok(!notes.some((note) => note.includes("2 times")));
    });
  }

  void test("a worker that is killed or throws in spawn", async () => {
    for (const procs of [1, 2]) {
      const who = procs === 1 ? "the worker process" : "the worker process of rank 1";
      const killed = await failing(Stillborn, procs, "kill");
      assert.match(
        killed.error.message,
        new RegExp(`^${who} was ended by SIGKILL\\..*\\nIts last lines:\\nlast words$`),
      );
      const thrown = await failing(Stillborn, procs, "throw");
      assert.equal(
        thrown.error.message,
        `${procs === 1 ? "" : "rank 1: "}not today\nIts last lines:\nlast words`,
      );
      await assert.rejects(thrown.spawner.setup(), {
        message:
          /^setup\(\): Stillborn has been cleaned up \(after: (rank 1: )?not today\); make a new SpawnActor\./,
      });
      await thrown.spawner.cleanup();
    }
  });

  void test("a worker that exits by itself", async () => {
    const { error } = await failing(Counter, 1, "exit in run on 0");
    assert.equal(
      error.message,
      "the worker process ended with code 7. It called process.exit(), or an error that nothing caught ended it: " +
        "what it wrote last says which.\nIts last lines:\nlast words of rank 0",
    );
  });

  void test("the first error wins; that of the cleanup is attached", async () => {
    const { error } = await failing(Clumsy, 1, "throw in run on 0");
    assert.equal(
      error.message,
      "trouble in run\nIts last lines:\nlast words of rank 0\nThen also: dropped something",
    );
    assert.deepEqual(
      error.suppressed!.map(({ message }) => message),
      ["dropped something"],
    );
    const alone = await failing(Clumsy, 1, "");
    assert.equal(alone.error.message, "dropped something");
  });

  for (const how of ["hang", "spin"]) {
    void test(`a rank that ${how}s: the time-out of the others ends the run`, async () => {
      const { error, notes } = await failing(Waiter, 2, how, recorded(2));
      assert.equal(error.name, "CommError");
      assert.match(
        error.message,
        /^rank 0: allReduce #1 timed out on rank 0.*\n.*\n {2}rank 1: alive; no collective of this group was seen there\n(.*\n)+The limit is comm\.train_timeout_seconds, up to the end of a first step comm\.init_timeout_seconds; raise it for a rank that is only slow\.\nRank 1 gave no answer: it hangs, is stopped, or is still computing; the others waited for it\.\nIts last lines:\nI wait$/,
      );
      assert.deepEqual(notes, ["0 cleaned up"]);
      // The one that hangs has written down that it called nothing.
      const { ranks, suspects } = analyze(readDumps(join(folder, "comm_traces")).dumps);
      assert.deepEqual([ranks, suspects], [[0, 1], [1]]);
    });
  }

  void test("a rank that throws while another waits for it: both write their last calls down", async () => {
    const { error } = await failing(Waiter, 2, "throw", recorded(60));
    assert.match(error.message, /^rank 1: boom\n/);
    const { ranks, findings, suspects } = analyze(readDumps(join(folder, "comm_traces")).dumps);
    assert.deepEqual([ranks, suspects], [[0, 1], [1]]);
    // The other one waits by then, or hasn't come so far.
    assert.deepEqual([findings[0]!.kind, findings[0]!.why], ["error", "boom"]);
  });

  void test("a rank that dies while another waits for it: the death is the error, not the lost connection", async () => {
    const { error } = await failing(Waiter, 2, "kill", { comm: { train_timeout_seconds: 60 } });
    assert.match(error.message, /^the worker process of rank 1 was ended by SIGKILL/);
  });

  void test("kill() ends what hangs", async () => {
    const spawner = new SpawnActor(Counter, configFor(2, "spin in run on 1"), { presenter: false });
    await spawner.spawn();
    await spawner.setup();
    const running = spawner.run();
    const failed = assert.rejects(running, { message: "the actor was ended by kill()" });
    await spawner.kill();
    await failed;
    await spawner.cleanup();
  });

  void test("kill() between the phases leaves nothing to clean up; before spawn() there is none", async () => {
    const killed = new SpawnActor(Counter, configFor(1), { presenter: false });
    await killed.spawn();
    await killed.kill();
    await killed.cleanup();
    assert.equal(killed.state, "over");
    const never = new SpawnActor(Counter, configFor(1), { presenter: false });
    await never.kill();
    await assert.rejects(
      never.spawn(),
      /^UserError: spawn\(\): Counter has been cleaned up \(after: the actor was ended by kill\(\)\)/,
    );
    const spawning = new SpawnActor(Counter, configFor(1), { presenter: false });
    const spawned = assert.rejects(spawning.spawn(), { message: "the actor was ended by kill()" });
    await spawning.kill();
    await spawned;
    assert.deepEqual(children(), []);
  });

  void test("whatever is thrown is an error", async () => {
    await assert.rejects(runActor(Counter, configFor(1, "null in setup on 0"), { presenter: false }), {
      message: /^it threw null\n/,
    });
  });

  void test("a call that the cleanup overtakes is told so", async () => {
    const spawner = new SpawnActor(Counter, configFor(1), { presenter: false });
    const actor = await spawner.spawn();
    await spawner.setup();
    const waiting = assert.rejects(actor.never(), {
      message:
        "the actor was cleaned up before the worker process could answer; await the call, then clean up",
    });
    await spawner.cleanup();
    await waiting;
    const events: unknown[] = [];
    for await (const event of actor.events()) events.push(event);
    assert.deepEqual(events, [], "and its events are at their end");
  });

  void test("a configuration that one rank refuses is none's", async () => {
    await using spawner = new SpawnActor(Counter, configFor(2, "refuses on 1", { training: { steps: 5 } }), {
      presenter: false,
    });
    const actor = await spawner.spawn();
    await spawner.setup();
    await assert.rejects(spawner.configure({ training: { steps: 7 } }), /rank 1: not seven/);
    assert.deepEqual(
      (await actor.all.config).map(({ training }) => training.steps),
      [5, 5],
    );
    assert.deepEqual(await actor.all.steps(), [5, 5]);
    await assert.rejects(actor.at(7).together(), { message: "rank: expected 0 to 1, found 7" });
  });
});

/** Starts toys/controller.ts in a group of its own, as a shell does. */
function controller(...args: string[]) {
  const child = spawn(process.execPath, [join(import.meta.dirname, "toys", "controller.ts"), ...args], {
    env: { ...environment, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let output = "";
  const heard = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      for (const check of heard) check();
    });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const shows = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        if (output.includes(text)) resolve();
      };
      heard.add(check);
      check();
      void ended.then(() => reject(new Error(`ended without ${text}:\n${output}`)));
    });
  return { pid: child.pid!, ended, shows, output: () => output };
}

void suite("a controller that is interrupted or killed", { timeout: 300_000 }, () => {
  afterEach(nothingLeft);

  for (const [description, sign] of [
    [["slow", "5"], "counting"],
    [["spin", "in", "run", "on", "1"], "hangs"],
  ] as const) {
    void test(`killed while its workers ${description[0]}: none is left after 5 seconds`, async () => {
      const run = controller("2", ...description);
      await run.shows(sign);
      const workers = children(run.pid);
      assert.equal(workers.length, 2);
      process.kill(run.pid, "SIGKILL");
      for (const worker of workers) assert.notEqual(await gone(worker, 5), undefined);
      await run.ended; // until then it is still a child of this process
    });
  }

  void test("Ctrl-C, which the terminal sends to all of them: the actor stops in good order, the program goes on", async () => {
    const run = controller("2", "slow", "5");
    await run.shows("counting");
    const workers = children(run.pid);
    process.kill(-run.pid, "SIGINT");
    assert.equal(await run.ended, 0, run.output());
    assert.match(run.output(), /cleaned up 1 times\nstopped: true\n$/);
    for (const worker of workers) assert.notEqual(await gone(worker, 5), undefined);
  });

  void test("Ctrl-C twice ends what doesn't stop", async () => {
    const run = controller("2", "spin", "in", "run", "on", "1");
    await run.shows("hangs");
    const workers = children(run.pid);
    process.kill(-run.pid, "SIGINT");
    process.kill(-run.pid, "SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 100));
    // The two may have been heard as one.
    try {
      process.kill(-run.pid, "SIGINT");
    } catch {
      // it has ended
    }
    assert.equal(await run.ended, 1, run.output());
    assert.match(run.output(), /UserError: interrupted twice: the actor was ended at once/);
    for (const worker of workers) assert.notEqual(await gone(worker, 5), undefined);
  });
});
