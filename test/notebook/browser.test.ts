// The shipped notebook in JupyterLab, in headless Chromium, on a tiny model: run all, interrupt a training, run it again,
// change a value, run again. TORCHFORGE_SCREENSHOTS=FOLDER keeps pictures to look at.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import { readMetrics, type StepRecord } from "../../src/metrics/index.ts";
import { children } from "../actors/setting.ts";
import { makePlace } from "../cli/forge.ts";
import { LabPage } from "./browser.ts";
import { chartEnd, JupyterPlace, LabServer, notebookWith, whole, type Notebook } from "./jupyter.ts";

const timeout = 1_200_000;
const tiny = makePlace();
after(() => rmSync(tiny.folder, { recursive: true, force: true }));

const training = "const result = await runActor(TrainerActor";
const pictures = process.env["TORCHFORGE_SCREENSHOTS"];

/** Keeps pictures of the page, where they are wanted. */
const looking =
  (lab: LabPage) =>
  async (name: string): Promise<void> => {
    if (pictures === undefined) return;
    mkdirSync(pictures, { recursive: true });
    await lab.page.screenshot({ path: join(pictures, `${name}.png`) });
  };

void suite("the notebook in JupyterLab", { timeout }, () => {
  test("run all, interrupt, run again, change, run again", { timeout }, async () => {
    using place = new JupyterPlace();
    const notebook = notebookWith({ modelFolder: tiny.model, steps: 25 });
    writeFileSync(join(place.work, "notebook.ipynb"), JSON.stringify(notebook));
    await using server = await LabServer.start(place);
    await using lab = await LabPage.open(server, "notebook.ipynb");
    const look = looking(lab);
    const runs = (): string[] => readdirSync(join(place.work, "outputs")).toSorted();
    /** The last record of the newest run. */
    const lastStep = (): StepRecord =>
      readMetrics(join(place.work, "outputs", runs().at(-1)!, "metrics.jsonl")).findLast(
        (record) => record.kind === "train",
      )!;
    const cell = lab.cell(training);
    const outcome = (text: string) => cell.locator(".jp-OutputArea-output", { hasText: text });

    await lab.command("notebook:run-all-cells");
    await lab
      .cell("const resumed")
      .locator(".jp-InputPrompt", { hasText: /\[\d+\]/ })
      .waitFor({ timeout: timeout / 2 });
    await lab.isIdle();
    const errors = await lab.page
      .locator('[data-mime-type="application/vnd.jupyter.error"], .jp-RenderedText[data-mime-type$="stderr"]')
      .allTextContents();
    assert.deepEqual(errors, []);
    assert.equal(runs().length, 2);
    await cell.scrollIntoViewIfNeeded();
    await look("1-run-all");
    const first = readMetrics(join(place.work, "outputs", runs()[0]!, "metrics.jsonl")).findLast(
      ({ kind }) => kind === "train",
    ) as StepRecord;
    const [chart] = await lab.pictures(cell);
    assert.deepEqual(chartEnd(chart!), { step: 25, loss: first.loss });
    for (const [name, code] of [
      ["2-configuration", "Config.create(completeConfig)"],
      ["3-preview", "previewBatch"],
      ["4-answers", "sampleAnswers([modelFolder"],
      ["5-comparison", "compareRuns(["],
    ] as const) {
      await lab.cell(code).first().scrollIntoViewIfNeeded();
      await look(name);
    }

    // A run that would take long: stopped gently, it ends after its step, with a checkpoint, and the notebook stays.
    const more = async (steps: number): Promise<void> => {
      await lab.write(
        cell,
        `const result = await runActor(TrainerActor, cfg.with({ training: { steps: ${steps} } }));`,
      );
      await lab.run(cell);
    };
    const interrupted = async (count: number): Promise<void> => {
      await outcome(" tokens/s · ").waitFor();
      await cell.locator(".jp-OutputArea-output img").first().waitFor();
      await look(`${count}-training`);
      await lab.interrupt();
      await outcome("stopped after step").waitFor();
      await lab.isIdle();
      await look(`${count}-stopped`);
      const last = lastStep();
      assert.ok(last.step < 100_000);
      assert.deepEqual(chartEnd((await lab.pictures(cell))[0]!), { step: last.step, loss: last.loss });
      await outcome(`step-${last.step}`).waitFor();
      assert.equal(await cell.locator('[data-mime-type="application/vnd.jupyter.error"]').count(), 0);
    };
    await more(100_000);
    await interrupted(6);
    await lab.run(cell); // as it is
    await interrupted(7);
    assert.equal(runs().length, 4);
    await more(12);
    await outcome("finished after step 12 of 12").waitFor();
    await lab.isIdle();
    await look("8-changed");
    assert.deepEqual(chartEnd((await lab.pictures(cell))[0]!), { step: 12, loss: lastStep().loss });

    // All variables are there.
    const alive = "`alive ${steps} ${result.step} ${prompts.length}`";
    await lab.write(lab.cell("const prompts"), alive);
    await lab.run(lab.cell(alive));
    await lab.cell(alive).locator(".jp-OutputArea-output", { hasText: "'alive 25 12 2'" }).waitFor();
    assert.deepEqual(lab.errors, []);
  });

  test("Tab lists a section's keys, Shift+Tab shows what one means", { timeout }, async () => {
    using place = new JupyterPlace();
    const notebook = notebookWith({});
    const isCode = (code: string) => (cell: Notebook["cells"][number]) => whole(cell.source).includes(code);
    notebook.cells = [isCode('from "torchforge"'), isCode("const steps")].map((is) =>
      notebook.cells.find(is)!,
    );
    writeFileSync(join(place.work, "keys.ipynb"), JSON.stringify(notebook));
    await using server = await LabServer.start(place);
    await using lab = await LabPage.open(server, "keys.ipynb");
    const look = looking(lab);
    const imports = lab.cell('from "torchforge"');
    await lab.run(imports);
    await imports.locator(".jp-InputPrompt", { hasText: "[1]" }).waitFor();
    let cell = lab.cell("const steps");
    for (const begun of ["section.training({ ", "Config.create({ training: { "]) {
      await lab.write(cell, begun);
      cell = lab.cell(begun.trim());
      await lab.page.keyboard.press("Tab");
      const keys = lab.page.locator(".jp-Completer:visible");
      for (const key of ["seq_len", "local_batch_size"]) await keys.getByText(key, { exact: true }).waitFor();
      await look(`9-keys-${begun.split(".")[0]}`);
      await lab.page.keyboard.press("Escape");
      await lab.page.keyboard.insertText("seq_len");
      await lab.page.keyboard.press("Shift+Tab");
      const tip = lab.page.locator(".jp-Tooltip:visible");
      await tip.getByText("Longest sequence, and length of a pack.").waitFor();
      await look(`9-documentation-${begun.split(".")[0]}`);
      await lab.page.keyboard.press("Escape");
    }
    assert.deepEqual(lab.errors, []);
  });

  test("nothing is left running", () => assert.deepEqual(children(), []));
});
