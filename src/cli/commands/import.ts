// `forge import`: converts a GGUF file to a Hugging Face model folder.
import { Command } from "commander";

import { importGguf, type ImportDtype } from "../../gguf/index.ts";
import { UserError } from "../../util/index.ts";

interface Options {
  readonly outputDir: string;
  readonly dtype: string;
}

const dtypes: Readonly<Record<string, ImportDtype>> = {
  float32: "float32",
  fp32: "float32",
  bfloat16: "bfloat16",
  bf16: "bfloat16",
};

export function command(): Command {
  return new Command("import")
    .argument("<model.gguf>", "a GGUF file of a Llama, Mistral, Qwen2 or Qwen3 model")
    .requiredOption("--output-dir <folder>", "new folder for config.json, weights and tokenizer")
    .option("--dtype <dtype>", "of the weights that are written: float32 or bfloat16", "float32")
    .addHelpText(
      "after",
      "\nThe weights are those of the quantized model, not of its original.\n" +
        "\nExample:\n  $ npx torchforge import SmolLM2-135M-Instruct.Q4_1.gguf --output-dir models/smollm2",
    )
    .action((path: string, options: Options) => {
      const dtype = dtypes[options.dtype];
      if (dtype === undefined) {
        throw new UserError(`--dtype: expected float32 or bfloat16, found ${options.dtype}`, { exitCode: 2 });
      }
      const report = importGguf(path, options.outputDir, { dtype });
      const millions = (report.parameters / 1e6).toFixed(1);
      console.log(
        `${report.folder}: ${report.modelType}, ${millions} million parameters in ${report.tensors} tensors, ${dtype}`,
      );
    });
}
