// `forge quickstart`, what `npm start` runs: fine-tunes a small real model on the CPU in some minutes, and shows what
// changed. Everything it does is the ordinary trainer; only the model, the data and the numbers are chosen here.
import { Command } from "commander";
import { existsSync } from "node:fs";

import { Config } from "../config/index.ts";
import { quickstartData } from "../data/index.ts";
import { obtainSmolLM2 } from "../gguf/index.ts";
import { ConsoleReporter, formatDuration } from "../metrics/index.ts";
import { progressLine, setup } from "../setup/index.ts";
import { UserError } from "../util/index.ts";
import { numberBetween } from "./generate.ts";
import { type Examined, QuickstartActor } from "../train/actors/index.ts";
import { shellWord } from "./shell-word.ts";
import { interruptedCode, withActor } from "./with-actor.ts";

interface Done {
  step: number;
  status: "finished" | "stopped";
  checkpoint: string | undefined;
  runFolder: string;
  /** Undefined where the user stopped before it was known. */
  before: Examined | undefined;
  after: Examined | undefined;
  seconds: number;
}

export function command(): Command {
  return new Command("quickstart")
    .option("--steps <n>", "optimizer steps", numberBetween(1, 100_000, true), 60)
    .option(
      "--questions <n>",
      "held-out rows that are answered before and after",
      numberBetween(1, 100, true),
      100,
    )
    .option("--output-dir <folder>", "where the run's folder is made", "outputs")
    .option("--model <folder>", "another model folder")
    .addHelpText("after", "\nExample:\n  $ npx torchforge quickstart")
    .action(async (options: { steps: number; questions: number; outputDir: string; model?: string }) => {
      const model = options.model ?? (await prepare());
      const { train: training, heldout } = quickstartData;
      if (!existsSync(training))
        throw new UserError(`the quickstart's data is missing: ${training}; install torchforge again`);
      const dataset = (path: string) => ({ path, split: "train", format: "instruction" as const });
      const config = Config.create({
        job: { dump_folder: options.outputDir, description: "quickstart" },
        model: { hf_assets_path: model },
        optimizer: { lr: 3e-4, weight_decay: 0 },
        lr_scheduler: { warmup_steps: Math.min(6, options.steps), decay_type: "cosine", min_lr_factor: 0.05 },
        training: {
          local_batch_size: 2,
          seq_len: 256,
          steps: options.steps,
          datasets: [dataset(training)],
          seed: 1,
        },
        checkpoint: { interval: 100_000, export_dtype: "bfloat16" },
        eval: { datasets: [dataset(heldout)] },
      });
      const reporter = new ConsoleReporter({ output: process.stdout, everyNSteps: 5 });
      const done = await withActor(QuickstartActor, config, { reporter }, async (spawner): Promise<Done> => {
        const examine = (when: string) => spawner.actor.examine(when, heldout, options.questions);
        const before = await examine("before");
        const begin = performance.now();
        const result = await spawner.run();
        const seconds = (performance.now() - begin) / 1000;
        const asked = before !== undefined && result.status === "finished";
        return { ...result, seconds, before, after: asked ? await examine("after") : undefined };
      });
      if (done.status === "stopped") process.exitCode = interruptedCode;
      if (done.step === 0) {
        console.log("stopped before training: nothing was saved");
        return;
      }
      console.log(
        [
          outcome(done),
          "",
          ...(done.checkpoint
            ? [`model       ${done.checkpoint} (Transformers, vLLM and llama.cpp load it as it is)`]
            : []),
          `run         ${done.runFolder}`,
          "",
          "next:",
          ...(done.checkpoint
            ? [
                `  npx torchforge generate --model ${shellWord(done.checkpoint)} --prompt "Reply with JSON: name, item, count, day. Please send 4 lamps to Nora by Friday."`,
              ]
            : []),
          `  npx torchforge plot ${shellWord(done.runFolder)}`,
          `  npx torchforge sft ${shellWord(`model.hf_assets_path=${model}`)} training.dataset=YOUR_ROWS.jsonl training.seq_len=512 training.steps=100`,
        ].join("\n"),
      );
    });
}

function outcome({ status, seconds, before, after }: Done): string {
  const took = `${status} after ${formatDuration(seconds)}`;
  if (!before || !after) return `${took}: the model was not asked again`;
  const percent = (part: number): string => `${(100 * part).toFixed(0)} %`;
  return `${took}: held-out loss ${before.loss.toFixed(3)} → ${after.loss.toFixed(3)}, exactly right ${percent(before.exact)} → ${percent(after.exact)}`;
}

/** libtorch, the addon and the model, with a progress line for what isn't there yet. */
async function prepare(): Promise<string> {
  const progress = progressLine();
  try {
    await setup({ onProgress: progress.update });
    const { folder } = await obtainSmolLM2(undefined, { onStatus: progress.update });
    return folder;
  } finally {
    progress.end();
  }
}
