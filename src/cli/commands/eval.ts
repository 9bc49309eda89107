// `forge eval`: measures loss and perplexity of a model on a data set.
import { Command, Option } from "commander";

import { Config } from "../../config/index.ts";
import { formatNames, type FormatName, type TrainOn } from "../../data/index.ts";
import { checkModel } from "../../hub/index.ts";
import { EvaluatorActor } from "../../train/actors/index.ts";
import { adapterOption, chatTemplateOption, modelOf, modelOption, numberBetween } from "./generate.ts";
import { withActor } from "../with-actor.ts";

interface Options {
  readonly model?: string;
  readonly adapter?: string;
  readonly data: string;
  readonly split: string;
  readonly format: FormatName | "auto";
  readonly chatTemplate?: string;
  readonly trainOn: TrainOn;
  readonly seqLen: number;
  readonly batchSize: number;
  readonly maxBatches?: number;
  readonly onBadRow: "error" | "skip";
  readonly json?: boolean;
  readonly gpu?: boolean;
}

export function command(): Command {
  return new Command("eval")
    .option(...modelOption)
    .option(...adapterOption)
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
    .addOption(
      new Option("--on-bad-row <what>", "what a row that can't be used is: the end, or left out")
        .choices(["error", "skip"])
        .default("error"),
    )
    .option(...chatTemplateOption)
    .option("--gpu", "compute on the GPU")
    .option("--json", "print one JSON object")
    .addHelpText("after", "\nExample:\n  $ npx torchforge eval --model ./model --data heldout.jsonl")
    .action(async (options: Options) => {
      const model = await modelOf(options);
      await checkModel(model, { key: "--model" });
      const { datasets: _, ...result } = await withActor(
        EvaluatorActor,
        configOf(model, options),
        { notesToStderr: true },
        (spawner) => spawner.run(),
      );
      if (options.json) console.log(JSON.stringify(result));
      else
        console.log(
          `loss ${result.loss.toFixed(4)}  perplexity ${result.perplexity.toFixed(2)}  over ${result.tokens} tokens`,
        );
    });
}

function configOf(model: string, { data: path, split, format, ...options }: Options): Config {
  return Config.create({
    model: { hf_assets_path: model, chat_template: options.chatTemplate ?? null },
    adapter: { initial_load_path: options.adapter ?? null },
    processes: { procs: 1, with_gpus: options.gpu ?? false },
    training: {
      seq_len: options.seqLen,
      local_batch_size: options.batchSize,
      train_on: options.trainOn,
      on_bad_row: options.onBadRow,
    },
    eval: { datasets: [{ path, split, format }], max_eval_steps: options.maxBatches ?? null },
  });
}
