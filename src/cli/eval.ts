// `forge eval`: loss and perplexity of a model on data.
import { Command, Option } from "commander";

import { formatNames } from "../data/index.ts";
import { numberBetween } from "./generate.ts";
import { runJob } from "./run-job.ts";

interface Evaluated {
  loss: number;
  perplexity: number;
  tokens: number;
}

export function command(): Command {
  return new Command("eval")
    .requiredOption("--model <folder>", "model folder, a checkpoint's step-N, or hf://org/name")
    .requiredOption("--data <path>", "file, folder, or data set of the hub")
    .option("--split <name>", "split of the data set", "train")
    .addOption(
      new Option("--format <name>", "form of the rows").choices(["auto", ...formatNames]).default("auto"),
    )
    .addOption(
      new Option("--train-on <what>", "which tokens count")
        .choices(["assistant", "last", "all"])
        .default("assistant"),
    )
    .option("--seq-len <n>", "tokens of a sequence", numberBetween(1, 1_000_000, true), 1024)
    .option("--batch-size <n>", "sequences computed at once", numberBetween(1, 100_000, true), 1)
    .option("--max-batches <n>", "stop after so many", numberBetween(1, Number.MAX_SAFE_INTEGER, true))
    .option("--json", "print one JSON object")
    .addHelpText("after", "\nExample:\n  $ npx torchforge eval --model ./model --data heldout.jsonl")
    .action(async (options: { json?: boolean }) => {
      const result = await runJob<Evaluated>({ kind: "eval", ...options }, { notesToStderr: true });
      if (options.json) console.log(JSON.stringify(result));
      else
        console.log(
          `loss ${result.loss.toFixed(4)}  perplexity ${result.perplexity.toFixed(2)}  over ${result.tokens} tokens`,
        );
    });
}
