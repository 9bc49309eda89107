// processes.max_restarts: after a worker's death the run goes on from its last checkpoint, and its curve is that of a run
// that nothing happened to.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import { type ActorEvent, Config, runActor, SpawnActor, TrainerActor } from "../../src/index.ts";
import { forge, makePlace, metricsOf, childrenOf, start } from "../cli/forge.ts";
import { children } from "./setting.ts";
import { MortalTrainer } from "./toys/mortal-trainer.ts";

process.env["OMP_NUM_THREADS"] = "1";
const place = makePlace();
after(() => rmSync(place.folder, { recursive: true, force: true }));
const outputs = join(place.folder, "outputs");
const overrides = ["training.steps=8", "checkpoint.interval=3"];
const configOf = (...more: string[]): Config =>
  Config.fromYaml(place.config, { overrides: [...overrides, ...more] });
const weights = (run: string) => readFileSync(join(run, "checkpoint", "step-8", "model.safetensors"));

/** Trains; the worker dies after these steps, each once. Gives the run's folder. */
async function trainDying(steps: string, ...more: string[]): Promise<{ run: string; events: ActorEvent[] }> {
  const events: ActorEvent[] = [];
  const config = configOf(`job.description=die after ${steps} on 0`, ...more);
  const { runFolder } = await runActor(MortalTrainer, config, {
    presenter: false,
    onEvent: (event) => events.push(event),
  });
  return { run: runFolder, events };
}

void suite("processes.max_restarts", { timeout: 600_000 }, () => {
  void test("killed before and after checkpoints: the same curve and weights, bit for bit", async () => {
    const whole = await runActor(TrainerActor, configOf("job.name=whole"), { presenter: false });
    const expected = metricsOf(whole.runFolder);
    assert.equal(expected.size, 8);
    // Without job.name: the restarts must find the run that this one began.
    const { run, events } = await trainDying("2,5,7", "processes.max_restarts=3");
    assert.notEqual(run, whole.runFolder);
    assert.deepEqual(metricsOf(run), expected);
    assert.deepEqual(weights(run), weights(whole.runFolder));
    const restarts = events.filter((event) => event.type === "restart");
    assert.deepEqual(
      restarts.map(({ attempt, of }) => `${attempt} of ${of}`),
      ["1 of 3", "2 of 3", "3 of 3"],
    );
    assert.match(restarts[0]!.reason, /^the worker process was ended by SIGKILL/);
    const notes = events.filter((event) => event.type === "note").map(({ text }) => text);
    const starts = notes.filter((text) => /^(starts from|resumes after)/.test(text));
    assert.equal(starts.length, 4);
    assert.match(starts[0]!, /^starts from the weights/);
    assert.match(starts[1]!, /^starts from the weights/);
    assert.match(starts[2]!, /^resumes after step 3 of 8/);
    assert.match(starts[3]!, /^resumes after step 6 of 8/);
    const info = JSON.parse(readFileSync(join(run, "run.json"), "utf8")) as {
      starts: number;
      status: string;
    };
    assert.equal(info.starts, 4);
    assert.equal(info.status, "finished");
    assert.deepEqual(children(), []);
  });

  void test("one death more than allowed ends the run with that death", async () => {
    await assert.rejects(trainDying("2,4", "processes.max_restarts=1"), {
      name: "WorkerDied",
      message: /^the worker process was ended by SIGKILL\.[\s\S]*\nIts log: .*logs\/rank-0\.log$/,
    });
    assert.deepEqual(children(), []);
  });

  void test("a restart that is not wanted any more does not happen", async () => {
    for (const [how, message] of [
      ["stop", /^the worker process was ended by SIGKILL/],
      ["kill", /^the actor was ended by kill\(\)$/],
    ] as const) {
      const spawner: SpawnActor<MortalTrainer> = new SpawnActor(
        MortalTrainer,
        configOf("job.description=die after 2 on 0", "processes.max_restarts=2"),
        { presenter: false, onEvent: (event) => void (event.type === "restart" && spawner[how]()) },
      );
      await assert.rejects(spawner.runFullLifecycle(), { message });
      assert.deepEqual(children(), []);
    }
  });

  void test("killed in the middle of a save: no half checkpoint stays", async () => {
    for (let round = 1; ; round++) {
      const saved = join(outputs, `saving-${round}`, "checkpoint");
      const half = () =>
        (existsSync(saved) ? readdirSync(saved) : []).filter((name) => name.includes(".tmp-"));
      let hit = false;
      const spawner = new SpawnActor(
        TrainerActor,
        configOf(`job.name=saving-${round}`, "checkpoint.interval=1", "training.steps=200"),
        {
          presenter: false,
          onEvent: (event) => {
            if (event.type === "phase" && event.state === "failed") hit = half().length > 0;
          },
        },
      );
      await spawner.spawn();
      await spawner.setup();
      const timer = setInterval(() => {
        if (half().length === 0) return;
        clearInterval(timer);
        process.kill(spawner.pids[0]!, "SIGKILL");
      }, 1);
      await assert.rejects(spawner.run(), { name: "WorkerDied" });
      clearInterval(timer);
      assert.deepEqual(half(), []);
      if (hit) return;
      assert.ok(round < 20, "no kill hit a save");
    }
  });

  void test("an error is no death: it is not tried again", async () => {
    let begun = 0;
    await assert.rejects(
      runActor(
        TrainerActor,
        configOf("processes.max_restarts=5", "optimizer.lr=1e30", "lr_scheduler.warmup_steps=0"),
        {
          presenter: false,
          onEvent: (event) => {
            if (event.type === "restart") begun++;
          },
        },
      ),
      /the (loss|gradient norm) is/,
    );
    assert.equal(begun, 0);
  });

  void test("forge sft: says so, and ends as if nothing had happened", async () => {
    const args = ["sft", "--config", place.config];
    const whole = await forge([...args, "job.name=cli-whole"]);
    assert.equal(whole.code, 0, whole.stderr);
    const run = start([...args, "job.name=cli", "processes.max_restarts=2"]);
    await run.shows(/Step 60\/200/);
    process.kill(childrenOf(run.child.pid!)[0]!, "SIGKILL");
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^starting again from the last checkpoint \(restart 1 of 2\)$/m);
    assert.match(stdout, /^resumes after step \d+ of 200/m);
    assert.deepEqual(metricsOf(join(outputs, "cli")), metricsOf(join(outputs, "cli-whole")));
  });
});
