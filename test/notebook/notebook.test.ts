// The shipped notebook: its cells are right TypeScript, and run from top to bottom under nbclient, with the outputs that they
// promise.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";

import { readMetrics } from "../../src/metrics/index.ts";
import { makePlace, metricsOf } from "../cli/forge.ts";
import { root, run } from "../programs.ts";
import { chartEnd, executeNotebook, JupyterPlace, notebookWith, whole, type Notebook } from "./jupyter.ts";

const timeout = 1_500_000;

void suite("the interactive configuration notebook", { timeout: 2 * timeout }, () => {
  test("its cells are right TypeScript", { timeout }, (context) => {
    // Beside src/, whose files take the place of the package's own name.
    const folder = join(root, ".notebook-cells");
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(folder, { recursive: true });
    const code = notebookWith({})
      .cells.filter((cell) => cell.cell_type === "code" && whole(cell.source) !== "")
      .map(({ source }) => whole(source))
      .join(";\n")
      .replaceAll(
        /from "torchforge(\/[\w-]+)?"/g,
        (_, name?: string) => `from "../src${name ?? ""}/index.ts"`,
      );
    writeFileSync(join(folder, "cells.ts"), code);
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: "../tsconfig.json",
        compilerOptions: { noUnusedLocals: false, types: ["node"] },
        include: ["*.ts"],
        exclude: [],
      }),
    );
    run(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", folder], {
      timeoutMs: timeout,
    });
  });

  test("runs from top to bottom, on the quickstart's model", { timeout }, async () => {
    using place = new JupyterPlace();
    const runs = check(await executeNotebook(place, notebookWith({ steps: 1 }), timeout), place, 1);
    assert.equal(runs.length, 2);
  });

  test("runs on two processes, on a tiny model, and resumes", { timeout }, async (context) => {
    const tiny = makePlace();
    context.after(() => rmSync(tiny.folder, { recursive: true, force: true }));
    using place = new JupyterPlace();
    const notebook = notebookWith({ modelFolder: tiny.model, steps: 4, procs: 2 });
    // As a user who tries Scenario 4.
    const scenario = notebook.cells.find(({ source }) => whole(source).startsWith("const resumed"))!;
    scenario.source = whole(scenario.source).replace("// compareRuns", "compareRuns");
    const [run, , resumed, ...more] = check(await executeNotebook(place, notebook, timeout), place, 4);
    assert.deepEqual(more, []);
    assert.ok(existsSync(join(run!, "logs", "rank-1.log")));
    const curve = metricsOf(run!);
    assert.deepEqual(
      metricsOf(resumed!),
      new Map([3, 4].map((step) => [step, curve.get(step)!])),
      "it goes on exactly, from the middle",
    );
    assert.match(
      readFileSync(join(resumed!, "logs", "rank-0.log"), "utf8"),
      /^resumes after step 2 from .*\(checkpoint\.initial_load_path\)$/m,
    );
  });
});

/** Gives the folders of the runs. */
function check(executed: Notebook, place: JupyterPlace, steps: number): string[] {
  const cells = executed.cells.filter((cell) => cell.cell_type === "code");
  for (const { source, outputs } of cells) {
    const error = outputs!.find((output) => output.output_type === "error");
    assert.equal(error, undefined, `${whole(source)}\n${whole(error?.traceback)}`);
    assert.ok(
      !outputs!.some(
        (output) => output.output_type === "stream" && /in the background/.test(whole(output.text)),
      ),
    );
  }
  const outputsOf = (code: RegExp) => {
    const cell = cells.find(({ source }) => code.test(whole(source)));
    assert.ok(cell, String(code));
    return cell.outputs!.map(({ data, text }) => ({
      html: whole(data?.["text/html"]),
      svg: whole(data?.["image/svg+xml"]),
      text: whole(data?.["text/plain"]) || whole(text),
    }));
  };
  const [shown] = outputsOf(/^cfg$/m);
  assert.match(shown!.html, new RegExp(`<b>steps: ${steps}</b>`));
  assert.match(shown!.text, new RegExp(`steps: ${steps} # default: 1000`));
  const [preview] = outputsOf(/await previewBatch/);
  assert.match(preview!.html, /<mark title="position \d+, id \d+/);

  const runs = readdirSync(join(place.work, "outputs")).toSorted();
  for (const [i, code] of [
    /await runActor\(TrainerActor, cfg\)/,
    /for await \(const event of events\)/,
  ].entries()) {
    const folder = join(place.work, "outputs", runs[i]!);
    const last = readMetrics(join(folder, "metrics.jsonl")).findLast((record) => record.kind === "train")!;
    assert.equal(last.step, steps);
    const outputs = outputsOf(code);
    assert.ok(outputs.some(({ text }) => text.startsWith(`finished after step ${steps} of ${steps}`)));
    const chart = outputs.find(({ svg }) => svg !== "")!;
    assert.deepEqual(chartEnd(chart.svg), { step: last.step, loss: last.loss });
    assert.ok(chart.text.includes(last.loss.toFixed(4)));
    const summary = outputs.at(-1)!;
    assert.match(summary.text, new RegExp(`^checkpoint +outputs/${runs[i]}/checkpoint/step-${steps}$`, "m"));
    const exported = join(folder, "checkpoint", `step-${steps}-hf`);
    for (const file of ["model.safetensors", "config.json", "tokenizer.json"])
      assert.ok(existsSync(join(exported, file)), file);
    for (const [, target] of summary.html.matchAll(/href="([^"]+)"/g))
      assert.ok(existsSync(join(place.work, decodeURIComponent(target!))), target!);
  }
  assert.match(
    outputsOf(/forwardBackward/)
      .map(({ text }) => text)
      .join(""),
    /Current step: 0\nDevice: cpu\n/,
  );
  assert.match(
    outputsOf(/for await/)
      .map(({ text }) => text)
      .join("\n"),
    new RegExp(`held-out loss after step ${steps}: `),
  );
  assert.equal(outputsOf(/sampleAnswers\(\[modelFolder/)[0]!.html.match(/<tr>/g)!.length, 3);
  const comparison = outputsOf(/^compareRuns/m)[0]!;
  for (const run of runs.slice(0, 2)) assert.ok(comparison.text.includes(run));
  assert.match(comparison.html, /<img .*src="data:image\/svg\+xml;base64,/);
  assert.equal(existsSync(join(place.work, "outputs", runs[0]!, "plot.html")), true);
  assert.ok(readFileSync(join(place.work, "outputs", runs[0]!, "plot.svg"), "utf8").startsWith("<svg"));
  return runs.map((run) => join(place.work, "outputs", run));
}
