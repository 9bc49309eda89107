// What ends a training from outside: schedulers, containers, closed terminals. Each saves, and none ends what is meant to go on.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import { environment, run } from "../programs.ts";
import { childrenOf, forgeCommand, gone, makePlace, metricsOf, start, startProgram } from "./forge.ts";

const place = makePlace();
after(() => rmSync(place.folder, { recursive: true, force: true }));

const sft = (name: string, ...more: string[]): string[] => [
  "sft",
  "--config",
  place.config,
  `job.name=${name}`,
  ...more,
];
const runFolder = (name: string): string => join(place.folder, "outputs", name);

/** Steps of the checkpoints that a run has left, and how many steps it has done. */
function left(name: string): { saved: number[]; done: number } {
  const folder = join(runFolder(name), "checkpoint");
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const saved = names.flatMap((one) => (/^step-\d+$/.test(one) ? [Number(one.slice(5))] : []));
  return { saved: saved.toSorted((a, b) => a - b), done: Math.max(...metricsOf(runFolder(name)).keys()) };
}

/** All that a run did is in its last checkpoint, and it had more to do. */
function assertSaved(name: string): void {
  const { saved, done } = left(name);
  assert.equal(saved.at(-1), done, `${name}: ${done} steps were done, ${String(saved)} are saved`);
  assert.ok(done < 200);
}

const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(" ");

void suite("ends", { timeout: 900_000 }, () => {
  void test("SIGUSR1, as Slurm sends it before the time is up, saves and opens no debugger", async () => {
    const training = start(sft("warned"));
    await training.shows(/^Step 2\/200/m);
    training.child.kill("SIGUSR1");
    const { code, stdout, stderr } = await training.ended;
    assert.equal(code, 138, stderr);
    assert.match(stdout, /stopping after this step, with a checkpoint; SIGTERM again stops at once/);
    assert.doesNotMatch(stdout + stderr, /Debugger/);
    assertSaved("warned");
  });

  void test("SIGTERM after another signal is no second one: the save goes on", async () => {
    const training = start(sft("twice"));
    await training.shows(/^Step 2\/200/m);
    training.child.kill("SIGUSR1");
    training.child.kill("SIGTERM");
    const { code, stderr } = await training.ended;
    assert.ok(code === 138 || code === 143, stderr);
    assertSaved("twice");
  });

  void test("npm's shell is killed, as npm does when it is to end: the run ends with a checkpoint", async () => {
    const shell = ["sh", "-c", `${quoted([...forgeCommand, ...sft("orphan")])}; exit $?`];
    const training = startProgram(shell, { env: { npm_command: "exec" } });
    await training.shows(/^Step 2\/200/m);
    const [leader] = childrenOf(training.child.pid!);
    training.child.kill("SIGTERM");
    const { stdout, stderr } = await training.ended; // its output closes when the last process has ended
    assert.notEqual(await gone(leader!, 20), undefined);
    assert.match(stderr, /note: npm, which started this command, has ended: the command ends, too/);
    assert.match(stdout, /^stopped after step \d+; checkpoint /m);
    assertSaved("orphan");
  });

  // As a container runs it: the first process of a PID namespace, which has no default action for signals.
  const namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
  if (spawnSync(namespace[0]!, [...namespace.slice(1), "true"]).status === 0)
    void test("SIGTERM to a training that is process 1 saves it", async () => {
      const training = startProgram([...namespace, ...forgeCommand, ...sft("container")]);
      await training.shows(/^Step 2\/200/m);
      process.kill(childrenOf(training.child.pid!)[0]!, "SIGTERM");
      const { stdout, stderr } = await training.ended;
      assert.match(stdout, /^stopped after step \d+; checkpoint /m, stderr);
      assertSaved("container");
    });

  /** Runs a command on a terminal that is closed after the run's second step. */
  const hangUp = (name: string, command: string): number =>
    Number(
      run(
        process.env["PYTHON"] ?? "python3",
        [
          join(import.meta.dirname, "hangup.py"),
          join(runFolder(name), "metrics.jsonl"),
          '"step":2,',
          command,
        ],
        { env: environment, timeoutMs: 300_000 },
      ),
    );

  void test("a terminal that is closed ends the run with a checkpoint", () => {
    assert.equal(hangUp("closed", `exec ${quoted([...forgeCommand, ...sft("closed")])}`), 129);
    assertSaved("closed");
  });

  void test("with nohup the run goes on to its end", () => {
    const log = join(place.folder, "nohup.log");
    const command = quoted([...forgeCommand, ...sft("nohup", "training.steps=20")]);
    assert.equal(hangUp("nohup", `exec nohup ${command} > ${log} 2>&1`), 0, readFileSync(log, "utf8"));
    assert.equal(left("nohup").done, 20);
  });
});
