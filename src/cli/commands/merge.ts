// `forge merge`: makes a model of adapters and the model that they adapt.
import { Command, Option } from "commander";

import { UserError } from "../../util/index.ts";
import { numberBetween } from "./generate.ts";

interface Options {
  readonly adapter: readonly string[];
  readonly weight?: readonly number[];
  readonly model?: string;
  readonly outputDir: string;
  readonly dtype?: "float32" | "bfloat16" | "float16";
}

const collect =
  <T>(parse: (text: string) => T) =>
  (text: string, before: readonly T[] = []): readonly T[] => [...before, parse(text)];

export function command(): Command {
  return new Command("merge")
    .requiredOption("--adapter <folder>", "an adapter's folder; may be given several times", collect(String))
    .option(
      "--weight <w>",
      "how much of each adapter is added, in their order; default 1",
      collect(numberBetween(-100, 100)),
    )
    .option("--model <folder>", "the model that they adapt; default: the one that the adapter names")
    .requiredOption("--output-dir <folder>", "new folder for the merged model")
    .addOption(
      new Option("--dtype <dtype>", "of the weights that are written; default: the model's own").choices([
        "float32",
        "bfloat16",
        "float16",
      ]),
    )
    .addHelpText(
      "after",
      "\nAdds up in float32 and rounds once. The merged model is read again, and its logits are compared with those of\n" +
        "the model with its adapters.\n" +
        "\nExample:\n  $ npx torchforge merge --adapter outputs/run/checkpoint/step-100-hf --output-dir merged",
    )
    .action(async ({ adapter: paths, weight: weights, outputDir, ...more }: Options) => {
      if (weights !== undefined && weights.length !== paths.length)
        throw new UserError(
          `--weight: expected one for each --adapter (${paths.length}), found ${weights.length}`,
          { exitCode: 2 },
        );
      const { mergeModel } = await import("../../train/index.ts");
      const adapters = paths.map((path, i) => ({ path, weight: weights?.[i] ?? 1 }));
      const lines = await mergeModel({ ...more, adapters, outputFolder: outputDir }, (note) =>
        console.error(note),
      );
      console.log(lines.join("\n"));
    });
}
