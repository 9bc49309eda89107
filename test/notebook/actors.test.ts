// Actors as a notebook shows them, with a screen in the kernel's place: training shows itself, a gentle stop leaves everything
// in place, and models are asked side by side.
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { inspect } from "node:util";

import { Config, runActor, SpawnActor, TrainerActor } from "../../src/index.ts";
import { installPresenter, sampleAnswers } from "../../src/notebook/index.ts";
import { TestScreen } from "../../src/notebook/testing.ts";
import { children } from "../actors/setting.ts";
import { makePlace, metricsOf } from "../cli/forge.ts";

process.env["OMP_NUM_THREADS"] = "1";
const place = makePlace();
after(() => rmSync(place.folder, { recursive: true, force: true }));

const configOf = (name: string, ...overrides: string[]): Config =>
  Config.fromYaml(place.config, { overrides: [`job.name=${name}`, "training.steps=6", ...overrides] });

const stage = (): TestScreen => {
  const screen = new TestScreen();
  installPresenter(screen);
  return screen;
};

void suite("actors in a notebook", { timeout: 600_000 }, () => {
  void test("runActor shows progress, a chart that ends at the last logged loss, and a summary with files", async () => {
    const screen = stage();
    const result = await runActor(TrainerActor, configOf("shown"));
    const [setup, progress, chart, summary] = screen.all();
    assert.match(setup!, /^setting up TrainerActor: done in .*\n(.*\n)*model .*/);
    assert.match(progress!, /^finished after step 6 of 6/);
    const last = metricsOf(result.runFolder).get(6)!;
    assert.ok(screen.all("image/svg+xml")[2]!.includes(`<title>6: ${last.loss}</title>`));
    assert.match(chart!, new RegExp(`^loss .* ${last.loss.toFixed(4)}$`, "m"));
    assert.ok(summary!.includes(result.checkpoint!) && summary!.includes(result.runFolder));
    for (const file of ["plot.html", "plot.svg", "logs/rank-0.log"])
      assert.ok(existsSync(join(result.runFolder, file)), file);
    assert.equal(screen.outputs.size, 4);
  });

  void test("an interrupt while run() is awaited ends it after its step, with a checkpoint; then it goes on", async () => {
    const screen = stage();
    await using spawner = new SpawnActor(TrainerActor, configOf("stopped", "training.steps=2000"));
    const actor = await spawner.spawn();
    await spawner.setup();
    const stop = (async () => {
      for await (const event of actor.events()) if (event.type === "record") return screen.interrupt();
    })();
    const stopped = await spawner.run();
    await stop;
    assert.equal(stopped.status, "stopped");
    assert.ok(existsSync(stopped.checkpoint!));
    assert.match(
      screen.all().find((text) => text.startsWith("stopped"))!,
      new RegExp(`after step ${stopped.step} of 2000`),
    );
    assert.equal(screen.handlers.size, 0);
    // Alive, with its state.
    assert.equal(await actor.currentStep, stopped.step);
  });

  void test("models are asked side by side: one in a folder, what a training returned, an actor that is up", async () => {
    const result = await runActor(TrainerActor, configOf("asked"), { presenter: false });
    await using spawner = new SpawnActor(TrainerActor, configOf("up"), { presenter: false });
    const actor = await spawner.spawn();
    await spawner.setup();
    const prompts = ["one", "two <b>"];
    const sampled = await sampleAnswers([place.model, result, actor], prompts, { maxNewTokens: 4 });
    assert.equal(sampled.answers.length, 2);
    for (const row of sampled.answers) {
      assert.equal(row.length, 3);
      assert.equal(row[0], row[2]); // the actor has not trained yet
    }
    assert.deepEqual(
      sampled.answers.map((row) => row[2]),
      (await actor.answer(prompts, { maxNewTokens: 4 })).map((answer) => answer.trim()),
    );
    assert.match(sampled.bundle["text/html"]!, /two &lt;b&gt;/);
    await assert.rejects(
      sampleAnswers({ checkpoint: undefined }, prompts),
      /this training saved no checkpoint/,
    );
    await assert.rejects(
      sampleAnswers(Promise.resolve(result) as never, prompts),
      /found a promise: write await before what gives it$/,
    );
    assert.match(inspect(spawner), /^SpawnActor of TrainerActor \(ready, 1 process\)$/);
    await spawner.cleanup();
    assert.deepEqual(children(), []);
  });
});
