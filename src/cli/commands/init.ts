// `forge init`: writes a first recipe for one's data on this machine.
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";

import { Command } from "commander";

import { availableMemory } from "../../setup/index.ts";
import { messageOf, UserError } from "../../util/index.ts";
import { folderOfConfig } from "./plan.ts";
import { numberBetween } from "./generate.ts";

interface Options {
  readonly data: string;
  readonly model?: string;
  readonly output: string;
  readonly gpuMemory?: number;
}

export function command(): Command {
  return new Command("init")
    .requiredOption("--data <path>", "what is to be learned: a file, a folder, or a data set of the hub")
    .option("--model <folder>", "model folder, or hf://org/name; default: one that this machine can train")
    .option("--output <file>", "the recipe", "run.yaml")
    .option(
      "--gpu-memory <gib>",
      "of the GPU that the run is for, where it isn't in this machine",
      numberBetween(1, 100_000),
    )
    .addHelpText(
      "after",
      "\nLooks at the lengths and the number of the rows, at the model and at the memory, and writes each choice with its reason.\n" +
        "\nExample:\n  $ npx torchforge init --data rows.jsonl && npx torchforge sft --config run.yaml",
    )
    .action(async ({ data, output, ...options }: Options) => {
      if (existsSync(output))
        throw new UserError(`--output: ${output} is there already. Give another name, or remove it`, {
          exitCode: 2,
        });
      const machine = machineOf(options.gpuMemory);
      const model = options.model ?? modelFor(machine.memory, machine.hasGpu);
      const folder = await folderOfConfig(model);
      const { chooseRecipe, examine, recipeText } = await import("../../train/index.ts");
      const facts = await examine({ model, data, machine }, folder, (text) => console.error(`note: ${text}`));
      const chosen = chooseRecipe(facts);
      try {
        writeFileSync(output, recipeText(chosen, output), { flag: "wx" });
      } catch (error) {
        throw new UserError(`--output: ${output} can't be written: ${messageOf(error)}`, {
          cause: error,
          exitCode: 2,
        });
      }
      console.log(
        `${output}: ${facts.stats.ledger.trained} rows for ${model}. Now:\n  npx torchforge sft --config ${output}`,
      );
    });
}

/** Of NVIDIA GPUs the smallest one counts. */
function machineOf(gpuMemory: number | undefined): { memory: number; hasGpu: boolean; gpus: number } {
  if (gpuMemory !== undefined) return { memory: gpuMemory * 2 ** 30, hasGpu: true, gpus: 1 };
  const query = ["--query-gpu=memory.total", "--format=csv,noheader,nounits"];
  const { stdout } = spawnSync("nvidia-smi", query, { encoding: "utf8" });
  const found = (stdout ?? "")
    .split("\n")
    .flatMap((line) => (/^\d+$/.test(line.trim()) ? [Number(line)] : []));
  return found.length > 0
    ? { memory: Math.min(...found) * 2 ** 20, hasGpu: true, gpus: found.length }
    : { memory: availableMemory(), hasGpu: false, gpus: 1 };
}

/** Models that are free to download, by the memory from which on they can be trained whole. A CPU is slow before it is full. */
function modelFor(memory: number, hasGpu: boolean): string {
  const gibibytes = memory / 2 ** 30;
  if (!hasGpu || gibibytes < 11) return "hf://HuggingFaceTB/SmolLM2-135M-Instruct";
  if (gibibytes < 39) return "hf://Qwen/Qwen3-0.6B";
  return gibibytes < 79 ? "hf://Qwen/Qwen3-1.7B" : "hf://Qwen/Qwen3-4B";
}
