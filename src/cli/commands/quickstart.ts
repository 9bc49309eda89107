// `forge quickstart` (`npm start`): fine-tunes a small real model on the CPU in a few minutes, and shows what changed.
import { Command } from "commander";
import { existsSync } from "node:fs";

import { ConsoleReporter, formatDuration } from "../../metrics/index.ts";
import {
  type ExamineResult,
  obtainSmolLM2,
  QuickstartActor,
  quickstartConfig,
  quickstartData,
} from "../../quickstart/index.ts";
import { progressLine, setup } from "../../setup/index.ts";
import { UserError } from "../../util/index.ts";
import { numberBetween } from "./generate.ts";
import { shellWord } from "../shell-word.ts";
import { stoppedCode, withActor } from "../with-actor.ts";

interface QuickstartResult {
  step: number;
  status: "finished" | "stopped";
  checkpoint: string | undefined;
  runFolder: string;
  /** Undefined if the user stopped the run before it was measured. */
  before: ExamineResult | undefined;
  after: ExamineResult | undefined;
  seconds: number;
}

/** Asked of what was trained, as the advice at the end does. */
const prompt = "Reply with JSON: name, item, count, day. Please send 4 lamps to Nora by Friday.";

export function command(): Command {
  return new Command("quickstart")
    .option("--steps <n>", "optimizer steps", numberBetween(1, 100_000, true), 60)
    .option(
      "--questions <n>",
      "held-out rows that are answered before and after",
      numberBetween(1, 100, true),
      100,
    )
    .option("--lora", "train a small adapter (LoRA), and leave the model as it is")
    .option("--output-dir <folder>", "where the run's folder is made", "outputs")
    .option("--model <folder>", "another model folder")
    .addHelpText("after", "\nExample:\n  $ npx torchforge quickstart")
    .action(
      async (options: {
        steps: number;
        questions: number;
        outputDir: string;
        model?: string;
        lora?: boolean;
      }) => {
        const model = options.model ?? (await prepare());
        const { train: training, heldout } = quickstartData;
        if (!existsSync(training))
          throw new UserError(`the quickstart's data is missing: ${training}; install torchforge again`);
        const { steps, lora = false, outputDir: outputFolder } = options;
        const config = quickstartConfig({ model, steps, lora, outputFolder });
        const reporter = new ConsoleReporter({ output: process.stdout, everyNSteps: 5 });
        const done = await withActor(
          QuickstartActor,
          config,
          { reporter },
          async (spawner): Promise<QuickstartResult> => {
            const examine = (when: string) => spawner.actor.examine(when, heldout, options.questions);
            const before = await examine("before");
            const begin = performance.now();
            const result = await spawner.run();
            const seconds = (performance.now() - begin) / 1000;
            const hasFinished = before !== undefined && result.status === "finished";
            return { ...result, seconds, before, after: hasFinished ? await examine("after") : undefined };
          },
        );
        if (done.status === "stopped") process.exitCode = stoppedCode();
        if (done.step === 0) {
          console.log("stopped before training: nothing was saved");
          return;
        }
        console.log(
          [
            outcomeText(done),
            "",
            ...(done.checkpoint
              ? [
                  lora
                    ? `adapter     ${done.checkpoint} (PEFT and vLLM load it as it is)`
                    : `model       ${done.checkpoint} (Transformers, vLLM and llama.cpp load it as it is)`,
                ]
              : []),
            `run         ${done.runFolder}`,
            "",
            "next:",
            ...(done.checkpoint
              ? [
                  lora
                    ? `  npx torchforge generate --adapter ${shellWord(done.checkpoint)} --prompt "${prompt}"`
                    : `  npx torchforge generate --model ${shellWord(done.checkpoint)} --prompt "${prompt}"`,
                ]
              : []),
            `  npx torchforge plot ${shellWord(done.runFolder)}`,
            `  npx torchforge sft ${shellWord(`model.hf_assets_path=${model}`)} training.dataset=YOUR_ROWS.jsonl training.seq_len=512 training.steps=100`,
          ].join("\n"),
        );
      },
    );
}

function outcomeText({ status, seconds, before, after }: QuickstartResult): string {
  const summary = `${status} after ${formatDuration(seconds)}`;
  if (!before || !after) return `${summary}: the model was not asked again`;
  const percent = (part: number): string => `${(100 * part).toFixed(0)} %`;
  return `${summary}: held-out loss ${before.loss.toFixed(3)} → ${after.loss.toFixed(3)}, exactly right ${percent(before.exact)} → ${percent(after.exact)}`;
}

/** Makes libtorch, the addon and the model available, with a progress line. */
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
