// The actors of training, on a tiny model: what they give is what the trainer gives.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import {
  type ActorEvent,
  Config,
  EvaluatorActor,
  InferencerActor,
  runActor,
  SpawnActor,
  TrainerActor,
} from "../../src/index.ts";
import { makePlace, metricsOf } from "../cli/forge.ts";
import { children } from "./setting.ts";
import { MortalTrainer } from "./toys/mortal-trainer.ts";

process.env["OMP_NUM_THREADS"] = "1";
const place = makePlace();
after(() => rmSync(place.folder, { recursive: true, force: true }));
const quiet = { presenter: false } as const;

const configOf = (name: string, ...overrides: string[]): Config =>
  Config.fromYaml(place.config, {
    overrides: [`job.name=${name}`, "training.steps=6", "checkpoint.interval=3", ...overrides],
  });
const losses = (name: string) => [...metricsOf(join(place.folder, "outputs", name)).values()];

void suite("the actors of training", { timeout: 600_000 }, () => {
  void test("runActor(TrainerActor): records, notes, a checkpoint, logs in the run's folder", async () => {
    const events: ActorEvent[] = [];
    const result = await runActor(TrainerActor, configOf("whole"), {
      ...quiet,
      onEvent: (event) => events.push(event),
    });
    assert.equal(result.status, "finished");
    assert.equal(result.step, 6);
    assert.ok(existsSync(join(result.checkpoint!, "model.safetensors")));
    const records = events.filter((event) => event.type === "record").map(({ record }) => record);
    assert.deepEqual(
      records.map(({ step }) => step),
      [1, 2, 3, 4, 5, 6],
    );
    assert.deepEqual(
      records.map((record) => record.kind === "train" && record.loss),
      losses("whole").map(({ loss }) => loss),
    );
    const saved = events.filter((event) => event.type === "checkpoint").map(({ step }) => step);
    assert.deepEqual(saved, [3, 6]);
    const log = readFileSync(join(result.runFolder, "logs", "rank-0.log"), "utf8");
    assert.match(log, /^starts from the weights in .*\nmodel .*\ndata .*/m);
    assert.deepEqual(children(), []);
  });

  void test("phase by phase: looks between them change nothing of the loss curve", async () => {
    await using spawner = new SpawnActor(
      TrainerActor,
      configOf("looked", `eval.datasets=[{path: ${place.rows}}]`),
      quiet,
    );
    const actor = await spawner.spawn();
    await assert.rejects(actor.evaluate(), /the actor is not set up yet; await spawner\.setup\(\) first/);
    await spawner.setup();
    assert.equal(await actor.currentStep, 0);
    assert.equal(await actor.device, "cpu");
    const { learningRate } = (await actor.lrScheduler)!;
    const passed = await actor.forwardBackward();
    assert.ok(passed.loss > 6 && passed.trainedTokens > 10);
    assert.deepEqual(await actor.forwardBackward(), passed, "no gradient stays, and no row is used up");
    const [held] = await actor.evaluate();
    assert.ok(Math.abs(held!.eval_loss - Math.log(1536)) < 0.5);
    const first = await actor.trainStep();
    assert.equal(first.step, 1);
    assert.equal(first.loss, passed.loss);
    assert.equal(first.learning_rate, learningRate);
    assert.equal(await actor.currentStep, 1);
    assert.deepEqual(await actor.metrics, first);
    assert.deepEqual(
      (await actor.answer(["Hello", "Say"], { maxNewTokens: 3 })).map((text) => typeof text),
      ["string", "string"],
    );
    await assert.rejects(actor.answer("Hello" as never), {
      name: "UserError",
      message: 'prompts: expected a list of texts, ["…", "…"], found "Hello"',
    });
    for (const part of ["model", "optimizer", "checkpointer", "tokenizer", "dataloader"] as const) {
      await assert.rejects(actor[part], {
        name: "UserError",
        message: new RegExp(
          `^actor\\.${part} is an? \\w+, which can't leave its process: only plain data crosses`,
        ),
      });
    }
    const running = spawner.run();
    await assert.rejects(actor.trainStep(), /trainStep\(\): training is running; call it before run\(\)/);
    assert.equal((await running).step, 6);
    assert.deepEqual(losses("looked"), losses("whole"));
  });

  void test("configured between setup and run: as if it had been spawned so; after the run it trains on", async () => {
    const changes = [
      "training.steps=8",
      "training.max_norm=0.5",
      "optimizer.lr=3e-4",
      "lr_scheduler.warmup_steps=2",
      "lr_scheduler.decay_type=cosine",
      "checkpoint.interval=2",
    ];
    await runActor(TrainerActor, configOf("spawned-so", ...changes), quiet);
    const notes: string[] = [];
    process.env["TORCHFORGE_TEST_SECRET"] = "hf_secretsecret";
    const secret = "job.description=of ${oc.env:TORCHFORGE_TEST_SECRET}";
    await using spawner = new SpawnActor(
      TrainerActor,
      configOf("configured", secret, "metric_logging.tensorboard.enable=true"),
      {
        ...quiet,
        onEvent: (event) => void (event.type === "note" && notes.push(event.text)),
      },
    );
    await spawner.spawn();
    await spawner.setup();
    await spawner.configure(changes);
    const { runFolder, step } = await spawner.run();
    assert.equal(step, 8);
    assert.deepEqual(losses("configured"), losses("spawned-so"));
    assert.ok(notes.includes("optimizer.lr: 0.001 → 0.0003"), notes.join("\n"));
    assert.deepEqual(readdirSync(join(runFolder, "checkpoint")).toSorted(), [
      "step-2",
      "step-4",
      "step-6",
      "step-8",
      "step-8-hf",
    ]);
    assert.equal(Config.fromYaml(join(runFolder, "config.yaml")).optimizer.lr, 3e-4);
    assert.equal(Config.fromYaml(join(runFolder, "config.1.yaml")).optimizer.lr, 1e-3);
    // What comes from the environment may be secret: the run's files have the reference.
    const files = readdirSync(runFolder, { recursive: true, withFileTypes: true }).filter((one) =>
      one.isFile(),
    );
    assert.ok(files.some(({ name }) => name.includes("tfevents")));
    for (const { parentPath, name } of files)
      assert.ok(!readFileSync(join(parentPath, name), "latin1").includes("hf_secretsecret"), name);
    assert.match(
      readFileSync(join(runFolder, "run.json"), "utf8"),
      /"description": "of \$\{oc\.env:TORCHFORGE_TEST_SECRET\}"/,
    );
    await assert.rejects(spawner.configure({ training: { seq_len: 128 } }), {
      message:
        /^configure\(\): training\.seq_len can't change after setup\(\); after it TrainerActor takes: training\.steps, /,
    });
    await assert.rejects(spawner.configure({ training: { steps: 7 } }), {
      message: /^training\.steps: expected at least the 8 steps that are done, found 7/,
    });
    await spawner.configure({ training: { steps: 10 } });
    assert.equal((await spawner.run()).step, 10);
    assert.equal(losses("configured").length, 10);
  });

  void test("more memory than the machine has is said before the first step", async () => {
    const notes: string[] = [];
    await using spawner = new SpawnActor(
      TrainerActor,
      configOf("large", "training.local_batch_size=9000000"),
      {
        ...quiet,
        onEvent: (event) => void (event.type === "note" && notes.push(event.text)),
      },
    );
    await spawner.spawn();
    await spawner.setup();
    const said = notes.filter((note) => note.includes("more than this machine's"));
    assert.match(
      said.join("\n"),
      /^ {12}that is more than this machine's [\d.]+ GiB: the run will likely be/,
    );
  });

  void test("stop, look, and go on in the same process: the same curve", async () => {
    const config = configOf("paused", "job.description=stop after 2 on 0");
    await using spawner = new SpawnActor(MortalTrainer, config, quiet);
    await spawner.spawn();
    await spawner.setup();
    const stopped = await spawner.run();
    assert.equal(stopped.status, "stopped");
    assert.ok(stopped.step >= 2 && stopped.step < 6, `step ${stopped.step}`);
    assert.match(stopped.checkpoint!, new RegExp(`step-${stopped.step}$`));
    assert.equal((await spawner.run()).status, "finished");
    assert.deepEqual(losses("paused"), losses("whole"));
  });

  void test("EvaluatorActor and InferencerActor on what was trained", async () => {
    const trained = join(place.folder, "outputs", "whole", "checkpoint", "step-6");
    const config = Config.create({
      model: { hf_assets_path: place.model },
      checkpoint: { initial_load_path: trained },
      training: { seq_len: 128 },
      eval: { datasets: [{ path: place.rows }] },
    });
    const after = await runActor(EvaluatorActor, config, quiet);
    const before = await runActor(
      EvaluatorActor,
      config.with({ checkpoint: { initial_load_path: null } }),
      quiet,
    );
    assert.ok(after.loss < before.loss, `${after.loss} < ${before.loss}`);
    assert.equal(after.tokens, before.tokens);
    assert.equal(after.perplexity, Math.exp(after.loss));
    assert.deepEqual(
      after.datasets.map(({ path, loss }) => [path, loss]),
      [[place.rows, after.loss]],
    );
    await assert.rejects(runActor(EvaluatorActor, config.with({ eval: { datasets: [] } }), quiet), {
      message: /^eval\.datasets: expected data to evaluate on, found none/,
    });

    await using spawner = new SpawnActor(InferencerActor, config, quiet);
    const actor = await spawner.spawn();
    await spawner.setup();
    const running = spawner.run();
    const texts: string[] = [];
    const listening = (async () => {
      for await (const event of actor.events()) if (event.type === "text") texts.push(event.text);
    })();
    const one = await actor.generate("Say the number 3", { maxNewTokens: 12 });
    assert.ok(one.newTokens <= 12 && one.promptTokens > 3);
    assert.deepEqual(await actor.answer(["Say the number 3"], { maxNewTokens: 12 }), [one.text]);
    spawner.stop();
    await running;
    await listening;
    assert.equal(texts.join(""), one.text);
  });

  void test("folders that can't be made are refused before a process is started", async () => {
    for (const key of ["job.dump_folder", "checkpoint.folder"])
      await assert.rejects(runActor(TrainerActor, configOf("nowhere", `${key}=${place.rows}/x`), quiet), {
        name: "UserError",
        message: `${key}: can't write in ${place.rows}/x: ${place.rows} is a file, not a folder; give a folder that you can write to`,
      });
  });

  void test("a configuration that isn't supported yet is refused by the actor too", async () => {
    const config = Config.create(
      { model: { hf_assets_path: place.model }, training: { compile: true, dataset: "hf://org/rows" } },
      { allowUnsupported: true },
    );
    await assert.rejects(runActor(TrainerActor, config, quiet), {
      name: "UserError",
      message: /^training\.compile: true is not supported yet/,
    });
  });
});
