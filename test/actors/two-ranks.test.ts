// Training on two ranks: spawned, stopped, killed and started again, and under torchrun, always on the same curve.
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";

import { Config, EvaluatorActor, runActor, SpawnActor, TrainerActor } from "../../src/index.ts";
import { forge, makePlace, metricsOf } from "../cli/forge.ts";
import { root } from "../programs.ts";
import { children } from "./setting.ts";
import { MortalTrainer } from "./toys/mortal-trainer.ts";
import { torchrun } from "./torchrun.ts";

process.env["OMP_NUM_THREADS"] = "1";
const place = makePlace();
after(() => rmSync(place.folder, { recursive: true, force: true }));
const quiet = { presenter: false } as const;
const overridesOf = (name: string): string[] => [
  `job.name=${name}`,
  "training.steps=8",
  "checkpoint.interval=3",
  "processes.procs=2",
];
const configOf = (name: string, ...more: string[]): Config =>
  Config.fromYaml(place.config, { overrides: [...overridesOf(name), ...more] });
const curve = (name: string) => metricsOf(join(place.folder, "outputs", name));

void suite("training on two ranks", { timeout: 900_000 }, () => {
  before(async () => {
    const { status, runFolder } = await runActor(TrainerActor, configOf("whole"), quiet);
    assert.equal(status, "finished");
    for (const rank of [0, 1]) assert.ok(existsSync(join(runFolder, "logs", `rank-${rank}.log`)));
    assert.equal(curve("whole").size, 8);
  });

  void test("phase by phase: looks and steps of both ranks together", async () => {
    await using spawner = new SpawnActor(
      TrainerActor,
      configOf("looked", `eval.datasets=[{path: ${place.rows}}]`),
      quiet,
    );
    const actor = await spawner.spawn();
    await spawner.setup();
    assert.deepEqual(await actor.all.rank, [0, 1]);
    assert.equal((await actor.parallelDims).shard, 2);
    const passed = await actor.all.forwardBackward();
    assert.deepEqual(passed[0], passed[1], "of all ranks' batches together");
    const first = await actor.trainStep();
    assert.equal(first.loss, passed[0]!.loss);
    assert.deepEqual(await actor.all.currentStep, [1, 1]);
    const [held] = await actor.evaluate();
    const alone = await runActor(
      EvaluatorActor,
      Config.create({
        model: { hf_assets_path: place.model },
        training: { seq_len: 256 },
        eval: { datasets: [{ path: place.rows }] },
      }),
      quiet,
    );
    assert.equal(held!.num_tokens, alone.tokens, "every row once, by one rank or the other");
    const shared = await runActor(
      EvaluatorActor,
      Config.create({
        model: { hf_assets_path: place.model },
        processes: { procs: 2 },
        training: { seq_len: 256 },
        eval: { datasets: [{ path: place.rows }] },
      }),
      quiet,
    );
    assert.equal(shared.tokens, alone.tokens);
    // Sums in another order, in float32.
    assert.ok(Math.abs(shared.loss - alone.loss) < 1e-5 * alone.loss, `${shared.loss} ${alone.loss}`);
    assert.equal(typeof (await actor.answer(["Hello"], { maxNewTokens: 2 }))[0], "string");
    await spawner.run();
    assert.deepEqual(curve("looked"), curve("whole"));
  });

  void test("stop: both end after the same step, and go on exactly", async () => {
    // One rank alone is told.
    const config = configOf("paused", "job.description=stop after 2 on 1");
    await using spawner = new SpawnActor(MortalTrainer, config, quiet);
    const actor = await spawner.spawn();
    await spawner.setup();
    const { status, step } = await spawner.run();
    assert.equal(status, "stopped");
    assert.deepEqual(await actor.all.currentStep, [step, step]);
    assert.equal((await spawner.run()).status, "finished");
    assert.deepEqual(curve("paused"), curve("whole"));
  });

  for (const victim of [0, 1]) {
    void test(`rank ${victim} killed: started again, the same curve`, async () => {
      const name = `killed-${victim}`;
      const config = configOf(name, "processes.max_restarts=1", `job.description=die after 5 on ${victim}`);
      assert.equal((await runActor(MortalTrainer, config, quiet)).status, "finished");
      assert.deepEqual(curve(name), curve("whole"));
      assert.deepEqual(children(), []);
    });
  }

  void test("a rank killed without a restart left: the error names it", async () => {
    const config = configOf("lost", "job.description=die after 2 on 1");
    await assert.rejects(runActor(MortalTrainer, config, quiet), {
      name: "WorkerDied",
      message: /^the worker process of rank 1 was ended by SIGKILL\./,
    });
    assert.deepEqual(children(), []);
  });

  void test("forge sft under torchrun, two nodes of one process each: the same curve", async () => {
    // processes.procs is what the launcher says.
    const overrides = overridesOf("torchrun").filter((one) => !one.startsWith("processes."));
    const outputs = await torchrun(2, [
      join(root, "src", "cli", "main.ts"),
      "sft",
      "--config",
      place.config,
      ...overrides,
    ]);
    assert.match(outputs[0]!, /^Step 8\/8 \| Loss: /m);
    assert.match(outputs[0]!, /^checkpoint {2}.*step-8$/m);
    assert.ok(!/Step|checkpoint/.test(outputs[1]!), outputs[1]!);
    assert.deepEqual(curve("torchrun"), curve("whole"));
    const info = JSON.parse(readFileSync(join(place.folder, "outputs", "torchrun", "run.json"), "utf8")) as {
      status: string;
    };
    assert.equal(info.status, "finished");
  });

  for (const [launcher, variables] of Object.entries({
    srun: (rank: number) => ({
      SLURM_PROCID: `${rank}`,
      SLURM_LOCALID: `${rank}`,
      SLURM_NTASKS: "2",
      SLURM_TASKS_PER_NODE: "2",
      SLURM_NODELIST: "localhost",
      SLURM_JOB_ID: `${process.pid}`,
    }),
    mpirun: (rank: number) => ({
      OMPI_COMM_WORLD_RANK: `${rank}`,
      OMPI_COMM_WORLD_LOCAL_RANK: `${rank}`,
      OMPI_COMM_WORLD_SIZE: "2",
      OMPI_COMM_WORLD_LOCAL_SIZE: "2",
      PMIX_NAMESPACE: `prterun-host-${process.pid}@1`,
    }),
  }))
    void test(`forge sft under ${launcher}'s variables: one run of two ranks, the same curve`, async () => {
      const overrides = overridesOf(launcher).filter((one) => !one.startsWith("processes."));
      const ranks = await Promise.all(
        [0, 1].map((rank) =>
          forge(["sft", "--config", place.config, ...overrides], { env: variables(rank) }),
        ),
      );
      assert.deepEqual(
        ranks.map(({ code }) => code),
        [0, 0],
        ranks.map(({ stderr }) => stderr).join(""),
      );
      assert.ok(!/Step|checkpoint/.test(ranks[1]!.stdout), ranks[1]!.stdout);
      assert.deepEqual(curve(launcher), curve("whole"));
    });

  void test("tasks that can't be one run don't train, each by itself", async () => {
    const { code, stderr } = await forge(["sft", "--config", place.config, ...overridesOf("apart")], {
      env: { SLURM_PROCID: "0", SLURM_NTASKS: "2" },
    });
    assert.equal(code, 2);
    assert.match(stderr, /^error: Slurm has started 2 tasks, and they can't be made one run: /);
  });
});
