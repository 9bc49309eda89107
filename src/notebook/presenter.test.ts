import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import type { ActorEvent, Phase, PresentedActor } from "../actors/index.ts";
import { Config } from "../config/index.ts";
import { RunFolder } from "../metrics/index.ts";
import { NotebookPresenter } from "./presenter.ts";
import { stepRecord, TestScreen } from "./testing.ts";

const config = Config.create({ model: { hf_assets_path: "m" } });
const begun = (phase: Phase): ActorEvent => ({ type: "phase", phase, state: "begun" });
const done = (phase: Phase): ActorEvent => ({ type: "phase", phase, state: "done" });
const note = (text: string, rank = 0): ActorEvent => ({ type: "note", text, rank });
const step = (n: number, steps = 3): ActorEvent => ({
  type: "record",
  record: stepRecord(n, { steps }),
  rank: 0,
});

function stage(worldSize = 1): { screen: TestScreen; calls: string[]; presenter: NotebookPresenter } {
  const screen = new TestScreen();
  const calls: string[] = [];
  const shown: PresentedActor = {
    actorName: "TrainerActor",
    config,
    worldSize,
    stop: () => calls.push("stop"),
    kill: () => calls.push("kill"),
  };
  return { screen, calls, presenter: new NotebookPresenter(shown, screen) };
}

function runFolder(context: TestContext): RunFolder {
  const dumpFolder = mkdtempSync(join(tmpdir(), "forge-notebook-"));
  context.after(() => rmSync(dumpFolder, { recursive: true }));
  const run = RunFolder.open({ dumpFolder, name: "r", model: "m", steps: 3, configYaml: "a: 1\n" });
  writeFileSync(
    run.metricsPath,
    [1, 2, 3].map((n) => `${JSON.stringify(stepRecord(n, { steps: 3 }))}\n`).join(""),
  );
  return run;
}

test("a whole life: what setup says, then progress, chart and summary of the run", (context) => {
  const { screen, presenter } = stage();
  const { path } = runFolder(context);
  presenter.event(begun("spawn"));
  presenter.event(done("spawn"));
  assert.equal(screen.drawn, 0);
  presenter.event(begun("setup"));
  assert.deepEqual(screen.all(), ["setting up TrainerActor …"]);
  presenter.event({ type: "folder", path, rank: 0 });
  presenter.event(note("model  <small>"));
  presenter.event(note("of another rank", 1));
  presenter.event(done("setup"));
  assert.match(screen.all()[0]!, /^setting up TrainerActor: done in \d+ s\nmodel {2}<small>$/);
  assert.match(screen.all("text/html")[0]!, /model {2}&lt;small&gt;/);

  presenter.event(begun("run"));
  presenter.event(step(1));
  assert.equal(screen.outputs.size, 3);
  assert.match(screen.all("image/svg+xml")[2]!, /<title>1: 3<\/title>/);
  presenter.event(step(2));
  presenter.event(step(3));
  presenter.event({ type: "checkpoint", step: 3, path: join(path, "checkpoint", "step-3"), rank: 0 });
  presenter.event(done("run"));
  const [, progress, chart, summary] = screen.all();
  assert.equal(progress, "finished after step 3 of 3");
  assert.match(chart!, /^step 3\/3\nloss .* 1\.0000\n/);
  assert.match(screen.all("image/svg+xml")[2]!, /<title>3: 1<\/title>/);
  assert.match(summary!, /^loss +3\.0000 → 1\.0000\n/);
  assert.ok(summary!.includes(join(path, "checkpoint", "step-3")));
  assert.match(screen.all("text/html")[3]!, /plot.*metrics.*configuration/);
  assert.ok(existsSync(join(path, "plot.html")) && existsSync(join(path, "plot.svg")));

  presenter.event(begun("cleanup"));
  presenter.event(done("cleanup"));
  assert.equal(screen.outputs.size, 4);
});

test("while it runs: a bar, the numbers of the last step, the last lines with their ranks", () => {
  const { screen, presenter } = stage(2);
  presenter.event(begun("run"));
  for (let i = 0; i < 30; i++)
    presenter.event({ type: "log", rank: 1, stream: "stderr", text: `\u001b[31mline ${i}` });
  presenter.event(step(2));
  screen.interrupt(); // also draws at once
  const [text] = screen.all();
  const lines = text!.split("\n");
  assert.match(
    lines[0]!,
    /^step 2\/3 · loss 1\.5000 · grad norm 1\.25 · 400 tokens\/s · 2 min 05 s left · stopping: /,
  );
  assert.deepEqual(
    lines.slice(1),
    Array.from({ length: 12 }, (_, i) => `[rank 1] line ${18 + i}`),
  );
  assert.match(screen.all("text/html")[0]!, /^<div><progress value="2" max="3"/);
});

test("interrupting the cell stops the actor gently, once more ends it; afterwards it is out of its hands", () => {
  const { screen, calls, presenter } = stage();
  presenter.event(begun("run"));
  presenter.event(step(1));
  screen.interrupt();
  assert.deepEqual(calls, ["stop"]);
  screen.interrupt();
  assert.deepEqual(calls, ["stop", "kill"]);
  presenter.event(step(2));
  presenter.event(done("run"));
  assert.equal(screen.all()[0], "stopped after step 2 of 3");
  assert.equal(screen.handlers.size, 0);
});

test("a failure says how far it came; an actor that goes away in a phase leaves no handler", () => {
  const { screen, presenter } = stage();
  presenter.event(begun("run"));
  presenter.event(step(1));
  presenter.event({ type: "phase", phase: "run", state: "failed" });
  assert.equal(screen.all()[0], "failed while running TrainerActor after step 1 of 3");
  presenter.event(begun("run"));
  presenter.close();
  assert.equal(screen.handlers.size, 0);
});

test("progress of what takes long is shown by its label", () => {
  const { screen, presenter } = stage();
  presenter.event(begun("setup"));
  presenter.event({ type: "progress", done: 3, total: 12, label: "reading weights", rank: 0 });
  presenter.event({ type: "phase", phase: "setup", state: "failed" });
  assert.equal(screen.all()[0], "failed while setting up TrainerActor");
});

test("between the phases lines and answers are printed", (context) => {
  const { screen, presenter } = stage();
  const written: string[] = [];
  context.mock.method(process.stdout, "write", (text: string) => written.push(text));
  presenter.event(note("hello"));
  presenter.event({ type: "text", text: "an ans", rank: 0 });
  presenter.event({ type: "text", text: "wer", rank: 0 });
  presenter.event(step(1));
  context.mock.restoreAll();
  assert.equal(screen.drawn, 0);
  assert.match(written.join(""), /^hello\nan answerStep 1\/3 \| Loss: 3\.0000 .*\n$/);
});
