// What the notebook costs: from the kernel's start to the first cell's result; the first completion, for which JupyterLab
// waits a second; from runActor in a cell to the first step, against the same run from the command line; and steps whose
// records are shown in the notebook, progress and chart, against steps that tell nothing. The kernel runs from the sources, with compiled code in Node's cache as it is from the second
// start on; this process is its client, as Jupyter's server is.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { obtainSmolLM2 } from "../src/quickstart/index.ts";
import { makeTinyModel } from "../test/models/tiny-model.ts";
import { KernelClient } from "../test/notebook/kernel-client.ts";
import { alternate, median, medianRatio, quick, report } from "./harness.ts";
import { kinds, type Block } from "./notebook-trainer.ts";

const root = resolve(import.meta.dirname, "..");
const rows = join(root, "data", "quickstart", "train.jsonl");
const work = mkdtempSync(join(tmpdir(), "torchforge-bench-notebook-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));

const tiny = join(work, "tiny");
makeTinyModel(tiny);
/** What the notebook trains; a model without weights to speak of for a first look. */
const model = quick ? tiny : (await obtainSmolLM2()).folder;

function writeConfig(name: string, model: string, lines: readonly string[]): string {
  const file = join(work, `${name}.yaml`);
  const all = [
    `model: {hf_assets_path: ${model}}`,
    "checkpoint: {enable: false}",
    "metric_logging: {tensorboard: {enable: false}}",
    ...lines,
  ];
  writeFileSync(file, all.map((line) => `${line}\n`).join(""));
  return file;
}
const dataset = `datasets: [{path: ${rows}, format: instruction}]`;

type Measured = Block & { processor: number };
/** Longer than what lies between two updates of a chart: what a block leaves for the pause after it is drawn there, and counts. */
const stepsOfBlock = 60;
/** What a reader of the notebook takes at least from the import cell to the first key. */
const thinkMs = 6000;

/** Gives the value of the cell's last expression. */
async function cell(kernel: KernelClient, code: string): Promise<unknown> {
  const { status, traceback, result } = await kernel.execute(code);
  if (status !== "ok") throw new Error(traceback);
  // As JavaScript writes a string.
  return result === undefined ? undefined : JSON.parse(result.slice(1, -1));
}

async function kernelStart(): Promise<number> {
  const begun = performance.now();
  await using kernel = await KernelClient.start();
  if ((await cell(kernel, "const x: number = 20;\nString(x + 22)")) !== 42) throw new Error("a wrong result");
  const milliseconds = performance.now() - begun;
  await kernel.shutdown();
  return milliseconds;
}

/** Milliseconds of the first completion of a section's keys, a little after the import cell. */
async function firstCompletion(): Promise<number> {
  await using kernel = await KernelClient.start({ cwd: root });
  await cell(kernel, `import { section } from "torchforge";`);
  await sleep(thinkMs);
  const begun = performance.now();
  const code = "section.training({ ";
  const { reply } = await kernel.request("shell", "complete_request", { code, cursor_pos: code.length });
  const milliseconds = performance.now() - begun;
  if (!(reply.content["matches"] as string[]).includes("seq_len")) throw new Error("no keys");
  await kernel.shutdown();
  return milliseconds;
}

const firstStepConfig = writeConfig("first-step", model, [
  `job: {dump_folder: ${join(work, "outputs")}}`,
  `training: {steps: 1, seq_len: 256, local_batch_size: 1, ${dataset}}`,
]);

/** Seconds from runActor to the first step, in a kernel that has run the import cell alone. */
async function firstStepInNotebook(): Promise<number> {
  await using kernel = await KernelClient.start({ cwd: root });
  await cell(
    kernel,
    `import { Config, runActor, TrainerActor } from "torchforge";
    const cfg = Config.fromYaml(${JSON.stringify(firstStepConfig)});`,
  );
  const seconds = await cell(
    kernel,
    `const begun = performance.now(); let first;
    await runActor(TrainerActor, cfg, {
      onEvent: (event) => { if (event.type === "record") first ??= performance.now() - begun; },
    });
    String(first / 1000)`,
  );
  await kernel.shutdown();
  return seconds as number;
}

/** Seconds from the command's start to its line of the first step. */
async function firstStepOfCommand(): Promise<number> {
  const begun = performance.now();
  const child = spawn(
    process.execPath,
    [join(root, "src", "cli", "main.ts"), "sft", "--config", firstStepConfig],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let said = "";
  let first: number | undefined;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    if (/^Step 1\/1 /m.test(said)) first ??= performance.now() - begun;
  });
  await new Promise((done) => child.once("close", done));
  if (first === undefined) throw new Error(`the command showed no step:\n${said}`);
  return first / 1000;
}

interface Streamed {
  blocks: Block[];
  /** Of the kernel's process, block by block: its own processor time, milliseconds. */
  processor: number[];
}

/** Steps of a few hundredths of a second, on the tiny model: the shorter they are, the more a record weighs. */
async function streaming(rounds: number, seconds: number): Promise<Streamed> {
  const config = writeConfig("streaming", tiny, [
    `job: {dump_folder: ${join(work, "outputs")}, description: ${rounds} ${stepsOfBlock} ${seconds}}`,
    `training: {steps: 1000000, seq_len: 512, local_batch_size: 8, ${dataset}}`,
  ]);
  await using kernel = await KernelClient.start({ cwd: root });
  const streamed = await cell(
    kernel,
    `import { Config, runActor } from "torchforge";
    import { BlockTrainer } from "./bench/notebook-trainer.ts";
    const processor = []; let used;
    const blocks = await runActor(BlockTrainer, Config.fromYaml(${JSON.stringify(config)}), {
      onEvent: (event) => {
        if (event.type !== "progress") return;
        if (event.done === 0) used = process.cpuUsage();
        else { const { user, system } = process.cpuUsage(used); processor.push((user + system) / 1000); }
      },
    });
    JSON.stringify({ blocks, processor })`,
  );
  await kernel.shutdown();
  return streamed as Streamed;
}

const rounds = quick ? 3 : 9;
const start: number[] = [];
for (let i = -1; i < rounds; i++) {
  const milliseconds = await kernelStart();
  if (i >= 0) start.push(milliseconds);
}
const completion: number[] = [];
for (let i = 0; i < (quick ? 1 : 3); i++) completion.push(await firstCompletion());
const first = await alternate(quick ? 2 : 5, { notebook: firstStepInNotebook, command: firstStepOfCommand });
const { blocks, processor } = await streaming(quick ? 5 : 15, quick ? 40 : 120);
const [told, silent] = kinds.map((kind) =>
  blocks
    .flatMap((block, i) => (block.kind === kind ? { ...block, processor: processor[i]! / stepsOfBlock } : []))
    .slice(1),
) as [Measured[], Measured[]];
const milliseconds = (of: readonly Measured[]): number[] => of.map((block) => block.milliseconds);
// All the work that telling and showing a step is, in whichever process, as if training waited for it.
const work_ms = median(told.map((block, i) => block.tell + block.processor - silent[i]!.processor));

report(
  "notebook",
  {
    first_result_ms: median(start),
    first_result_rounds_ms: start,
    first_completion_ms: median(completion),
    first_step_notebook_s: median(first.notebook),
    first_step_command_s: median(first.command),
    first_step_notebook_rounds_s: first.notebook,
    first_step_command_rounds_s: first.command,
    step_shown_ms: median(milliseconds(told)),
    step_silent_ms: median(milliseconds(silent)),
    tell_a_record_ms: median(told.map(({ tell }) => tell)),
    tell_and_show_processor_ms: work_ms,
    streaming_rounds: told.length,
    model: quick ? "tiny" : "SmolLM2-135M",
  },
  [
    { name: "kernel start to the first cell's result, ms", value: median(start), op: "<=", limit: 1000 },
    { name: "first completion of keys, ms", value: median(completion), op: "<=", limit: 1000 },
    {
      name: "runActor to the first step, beyond what the command needs, s",
      value: median(first.notebook.map((seconds, i) => seconds - first.command[i]!)),
      op: "<=",
      limit: 1.5,
    },
    {
      name: "step shown in the notebook / step that tells nothing",
      value: medianRatio(milliseconds(told), milliseconds(silent)),
      op: "<=",
      limit: 1.01,
    },
    {
      name: "processor time of telling and showing a step / step",
      value: work_ms / median(milliseconds(silent)),
      op: "<=",
      limit: 0.01,
    },
  ],
);
