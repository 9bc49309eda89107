// `forge simulate`: measures how much memory and communication a large run needs per process, by running one step's code on meta
// tensors, without its memory or other processes.
import { Command } from "commander";

import { messageOf, UserError } from "../../util/index.ts";
import { configFrom, configOption, overridesArgument } from "../config-from.ts";
import { folderOfConfig } from "./plan.ts";

interface Options {
  readonly config?: string;
  readonly procs?: string;
  readonly json?: boolean;
  readonly speed?: string;
  readonly gpu?: string;
  readonly links?: string;
  readonly perMachine: string;
}

export function command(): Command {
  return new Command("simulate")
    .option(...configOption)
    .option("--procs <n>", "as the override processes.procs=n")
    .option(
      "--speed <tflops,gb/s>",
      "what a process computes and sends in a second, for a bound of what communication can't be hidden",
    )
    .option("--gpu <name>", "forecast a step's time, tokens/s and MFU on a100, h100, h200 or b200")
    .option(
      "--links <rates>",
      "with --gpu: 10^9 bytes a second of a process within a machine, and between machines (default: nvlink:450,ib:50)",
    )
    .option("--per-machine <n>", "with --gpu: processes of a machine", "8")
    .option("--json", "print one JSON object")
    .argument(...overridesArgument)
    .addHelpText(
      "after",
      "\nNeeds libtorch, but no GPU, no weights and no other process. Where the model's config.json can't be had, model.name and\n" +
        "model.flavor say the sizes.\n" +
        "\nExamples:\n" +
        "  $ npx torchforge simulate --config recipes/llama3_70b.yaml --procs 256\n" +
        "  $ npx torchforge simulate --config recipes/llama3_70b.yaml --procs 256 --gpu h100 --links nvlink:450,ib:50\n" +
        "  $ npx torchforge simulate --config recipes/llama3_70b.yaml --speed 400,50 training.local_batch_size=8",
    )
    .action(async (given: string[], options: Options) => {
      const overrides = options.procs === undefined ? given : [...given, `processes.procs=${options.procs}`];
      const config = configFrom(options.config, overrides);
      for (const warning of config.warnings) console.error(`note: ${warning}`);
      const speeds = options.speed === undefined ? undefined : speedsOf(options.speed);
      const train = await import("../../train/index.ts");
      const { readModel, reportLines, reportOf, simulate } = train;
      if (options.gpu === undefined && options.links !== undefined)
        throw new UserError("--links: needs --gpu, whose forecast it is for", { exitCode: 2 });
      const machines =
        options.gpu === undefined
          ? undefined
          : {
              card: train.cardOf(options.gpu),
              links: train.linksOf(options.links ?? train.defaultLinks),
            };
      const perMachine = Number(options.perMachine);
      if (!(Number.isInteger(perMachine) && perMachine > 0))
        throw new UserError(
          `--per-machine: expected a whole number of at least 1, found ${options.perMachine}`,
          { exitCode: 2 },
        );
      const { name, flavor, hf_assets_path: reference } = config.model;
      let model;
      try {
        model = readModel(config.spec, await folderOfConfig(reference));
      } catch (error) {
        // Gated, or without network: name and flavor determine the sizes too.
        if (!(error instanceof UserError) || name === null || flavor === null) throw error;
        model = readModel(config.spec, undefined);
        console.error(
          `note: no config.json of ${reference} (${messageOf(error).split("\n")[0]}); sizes are those of ${name} ${flavor}`,
        );
      }
      const report = reportOf(config.spec, model, await simulate(config.spec, model, perMachine), machines);
      if (options.json === true) console.log(JSON.stringify(report));
      else console.log(reportLines(config.spec, model, report, speeds).join("\n"));
    });
}

function speedsOf(text: string): { teraflops: number; gigabytes: number } {
  const [teraflops, gigabytes, ...rest] = text.split(",").map(Number);
  if (!(teraflops! > 0 && gigabytes! > 0) || rest.length > 0)
    throw new UserError(
      `--speed: expected two numbers above 0, 10^12 operations and 10^9 bytes a second such as 400,50; found ${text}`,
      { exitCode: 2 },
    );
  return { teraflops: teraflops!, gigabytes: gigabytes! };
}
