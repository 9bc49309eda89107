// `forge export`: a model folder as files for other programs.
import { basename, resolve } from "node:path";

import { Command, InvalidArgumentError, Option } from "commander";

import { resolveModel } from "../../hub/index.ts";
import type { GgufFileType } from "../../export/index.ts";
import { numberBetween } from "./generate.ts";

interface Options {
  readonly to: "gguf";
  readonly type: readonly GgufFileType[];
  readonly outputDir: string;
  readonly name?: string;
  readonly preTokenizer?: string;
  readonly ollama?: boolean;
  readonly data?: string;
  readonly split: string;
  readonly maxBatches: number;
}

const fileTypes = ["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"] as const;

function typesOf(list: string): GgufFileType[] {
  return list.split(",").map((given) => {
    const type = fileTypes.find((one) => one === given.trim().toUpperCase());
    if (type === undefined) throw new InvalidArgumentError(`expected one of ${fileTypes.join(", ")}`);
    return type;
  });
}

export function command(): Command {
  return new Command("export")
    .argument("<model>", "a model folder, e.g. what a run exported, or hf://org/name")
    .addOption(new Option("--to <format>", "what is written").choices(["gguf"]).default("gguf"))
    .option("--type <types>", `of the weights, one file each: ${fileTypes.join(", ")}`, typesOf, ["Q4_K_M"])
    .requiredOption("--output-dir <folder>", "where the files go")
    .option("--name <name>", "of the files; default: the model folder's")
    .option("--ollama", "write a Modelfile, too")
    .option("--data <path>", "held-out rows: the loss on them before and after is printed")
    .option("--split <name>", "split of the data", "train")
    .option("--max-batches <n>", "of the data, at most", numberBetween(1, 1_000_000, true), 64)
    .option("--pre-tokenizer <name>", "llama.cpp's name of how the tokenizer cuts text; default: found")
    .addHelpText(
      "after",
      "\nEach file is read again: its logits are compared with the model's.\n" +
        "\nExample:\n  $ npx torchforge export outputs/run/export --type Q4_K_M --output-dir gguf --ollama",
    )
    .action(async (model: string, options: Options) => {
      const folder = await resolveModel(model, { key: "<model>" });
      const name = options.name ?? basename(resolve(model.replace(/^hf:\/\//, "")));
      const { exportGguf, heldOutLoss, writeModelfile } = await import("../../export/index.ts");
      const { data: path, split, maxBatches } = options;
      const lossOf = path === undefined ? undefined : heldOutLoss({ model: folder, path, split, maxBatches });
      const { files, loss } = await exportGguf(folder, {
        types: options.type,
        outputFolder: options.outputDir,
        name,
        preTokenizer: options.preTokenizer,
        lossOf,
        onProgress: (file, done, total) => {
          if (process.stderr.isTTY)
            process.stderr.write(
              `\r\x1b[K${basename(file)} ${done}/${total} tensors${done === total ? "\r\x1b[K" : ""}`,
            );
        },
      });
      if (loss !== undefined)
        console.log(`${folder}: perplexity ${Math.exp(loss).toFixed(3)} on ${options.data}`);
      for (const file of files) {
        const size = `${(file.bytes / 1e6).toFixed(1)} MB, ${file.bitsPerWeight.toFixed(2)} bits a weight`;
        const quality = file.loss === undefined ? "" : `, perplexity ${Math.exp(file.loss).toFixed(3)}`;
        console.log(`${file.file}: ${size}${quality}`);
        console.log(`  ${file.parity}`);
      }
      if (options.ollama === true) console.log(writeModelfile(folder, files.at(-1)!.file));
    });
}
