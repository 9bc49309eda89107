// `forge sft`: supervised fine-tuning from a configuration.
import { rmSync } from "node:fs";
import { basename } from "node:path";

import { Command } from "commander";

import { consoleReporter, isLaunchedRank, type ResultOf } from "../actors/index.ts";
import { Config, launcherOverrides, type ConfigInput } from "../config/index.ts";
import { DryRunActor, TrainerActor } from "../train/actors/index.ts";
import { makeWorkFolder } from "../util/index.ts";
import { configFrom } from "./config-from.ts";
import { shellWord } from "./shell-word.ts";
import { interruptedCode, withActor } from "./with-actor.ts";

interface Options {
  readonly config?: string;
  readonly printConfig?: boolean;
  readonly dryRun?: boolean;
}

type TrainResult = ResultOf<TrainerActor>;

export function command(): Command {
  return new Command("sft")
    .option("--config <file>", "YAML file; without it, all keys come from the overrides")
    .argument("[overrides...]", "key=value sets a key, ~key takes it back to its default")
    .option(
      "--print-config",
      "print the whole configuration, marking what differs from the defaults, and end",
    )
    .option(
      "--dry-run",
      "build everything, run one step on the longest batch, print memory and time, save nothing",
    )
    .addHelpText(
      "after",
      "\nCtrl-C once finishes the step, saves and ends; the same command goes on from there if job.name is set.\n" +
        "\nExamples:\n" +
        "  $ npx torchforge sft --config recipes/smollm2_135m.yaml training.steps=100\n" +
        "  $ npx torchforge sft --config recipes/smollm2_135m.yaml --dry-run\n" +
        "  $ npx torchforge sft model.hf_assets_path=./model training.dataset=./rows.jsonl training.seq_len=512",
    )
    .action(async (overrides: string[], options: Options) => {
      const all = [...overrides, ...launcherOverrides(process.env)];
      const config = configFrom(options.config, all);
      if (options.printConfig) {
        console.log(config.toYaml({ markDefaults: true }));
        return;
      }
      for (const warning of config.warnings) console.error(`note: ${warning}`);
      if (options.dryRun) {
        await dryRun(config);
        return;
      }
      const reporter = consoleReporter(config);
      const result = await withActor(TrainerActor, config, { reporter }, (spawner) => spawner.run());
      const isFirst = !isLaunchedRank() || process.env["RANK"] === "0";
      if (isFirst)
        console.log(closingText(result, resumeCommand(config, options.config, overrides, result.runFolder)));
      if (result.status === "stopped") process.exitCode = interruptedCode;
    });
}

/** Runs everything but training, in a temporary folder. */
async function dryRun(config: Config): Promise<void> {
  const folder = makeWorkFolder("dry-run");
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", remove);
  const sections = config.toObject() as ConfigInput;
  const dryRunConfig = Config.create({
    ...sections,
    job: { ...sections.job, dump_folder: folder },
    checkpoint: { ...sections.checkpoint, enable: false },
  });
  try {
    await withActor(DryRunActor, dryRunConfig, { reporter: consoleReporter(config) }, ({ actor }) =>
      actor.measure(),
    );
  } finally {
    remove();
  }
}

/** The command that resumes a stopped run: the same one, with the run's name. */
function resumeCommand(
  config: Config,
  file: string | undefined,
  overrides: readonly string[],
  runFolder: string,
): string {
  const name = config.job.name === null ? [`job.name=${basename(runFolder)}`] : [];
  const configOption = file === undefined ? [] : ["--config", file];
  return ["npx torchforge sft", ...[...configOption, ...overrides, ...name].map(shellWord)].join(" ");
}

function closingText({ step, status, checkpoint, runFolder }: TrainResult, command: string): string {
  const lines = [""];
  if (status === "stopped") {
    lines.push(
      `stopped after step ${step}${checkpoint ? `; checkpoint ${checkpoint}` : "; nothing was saved"}`,
    );
    if (checkpoint) lines.push(`go on:      ${command}`);
  } else if (checkpoint) {
    lines.push(
      `checkpoint  ${checkpoint}`,
      `try it:     npx torchforge generate --model ${shellWord(checkpoint)} --prompt "…"`,
    );
  }
  lines.push(`curves:     npx torchforge plot ${shellWord(runFolder)}`);
  return lines.join("\n");
}
