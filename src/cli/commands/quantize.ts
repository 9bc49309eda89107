// `forge quantize`: a model folder in fewer bits.
import { Command, Option } from "commander";

import { resolveModel } from "../../hub/index.ts";
import { numberBetween } from "./generate.ts";

interface Options {
  readonly to: "nf4";
  readonly doubleQuant: boolean;
  readonly outputDir: string;
  readonly data?: string;
  readonly split: string;
  readonly maxBatches: number;
}

export function command(): Command {
  return new Command("quantize")
    .argument("<model>", "a model folder, e.g. what a run exported, or hf://org/name")
    .addOption(
      new Option("--to <format>", "what linear layers are written in").choices(["nf4"]).default("nf4"),
    )
    .option(
      "--no-double-quant",
      "keep the scales of the blocks in float32: 4.5 in place of 4.13 bits a weight",
    )
    .requiredOption("--output-dir <folder>", "new folder for the quantized model")
    .option("--data <path>", "held-out rows: the loss on them before and after is printed")
    .option("--split <name>", "split of the data", "train")
    .option("--max-batches <n>", "of the data, at most", numberBetween(1, 1_000_000, true), 64)
    .addHelpText(
      "after",
      "\nTransformers with bitsandbytes loads what is written. It is read again, and its logits are compared.\n" +
        "\nExample:\n  $ npx torchforge quantize ./model --to nf4 --output-dir model-nf4 --data heldout.jsonl",
    )
    .action(async (model: string, options: Options) => {
      const folder = await resolveModel(model, { key: "<model>" });
      const [{ quantizeModel }, { heldOutLoss }] = await Promise.all([
        import("../../train/index.ts"),
        import("../../export/index.ts"),
      ]);
      const { data: path, split, maxBatches } = options;
      const lossOf = path === undefined ? undefined : heldOutLoss({ model: folder, path, split, maxBatches });
      const { doubleQuant, outputDir: outputFolder } = options;
      console.log((await quantizeModel(folder, { outputFolder, doubleQuant, lossOf })).join("\n"));
    });
}
