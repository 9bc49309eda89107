// `forge sft`: supervised fine-tuning from a configuration.
import { Command } from "commander";

import { Config } from "../config/index.ts";
import { ConsoleReporter } from "../metrics/index.ts";
import { interruptedCode, runJob } from "./run-job.ts";

interface Options {
  readonly config?: string;
  readonly printConfig?: boolean;
  readonly dryRun?: boolean;
}

interface Trained {
  step: number;
  status: "finished" | "stopped";
  checkpoint: string | undefined;
  runFolder: string;
}

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
      const config =
        options.config === undefined
          ? Config.create({}, { overrides })
          : Config.fromYaml(options.config, { overrides });
      if (options.printConfig) {
        console.log(config.toYaml({ markDefaults: true }));
        return;
      }
      for (const warning of config.warnings) console.error(`note: ${warning}`);
      const { checkData } = await import("../data/index.ts");
      const { checkModel } = await import("../hub/index.ts");
      const { hf_assets_path: assets } = config.model;
      const { initial_load_path: initial } = config.checkpoint;
      await checkModel(assets);
      if (initial !== null) await checkModel(initial, { key: "checkpoint.initial_load_path" });
      await checkData(config);
      const kind = options.dryRun ? "dry-run" : "sft";
      const reporter = new ConsoleReporter({
        output: process.stdout,
        everyNSteps: config.metric_logging.log_every_n_steps,
        ...(config.metric_logging.console.enable ? {} : { bar: false, everyNSteps: Infinity }),
      });
      const result = await runJob<Trained>({ kind, config: config.toObject() }, { reporter });
      if (options.dryRun) return;
      console.log(ending(result, options.config));
      if (result.status === "stopped") process.exitCode = interruptedCode;
    });
}

function ending({ step, status, checkpoint, runFolder }: Trained, config: string | undefined): string {
  const lines = [""];
  if (status === "stopped") {
    lines.push(
      `stopped after step ${step}${checkpoint ? `; checkpoint ${checkpoint}` : "; nothing was saved"}`,
    );
    if (checkpoint && config)
      lines.push(`go on:  npx torchforge sft --config ${config} checkpoint.initial_load_path=${checkpoint}`);
  } else if (checkpoint) {
    lines.push(
      `checkpoint  ${checkpoint}`,
      `try it:     npx torchforge generate --model ${checkpoint} --prompt "…"`,
    );
  }
  lines.push(`curves:     npx torchforge plot ${runFolder}`);
  return lines.join("\n");
}
