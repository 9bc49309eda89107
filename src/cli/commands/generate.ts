// `forge generate`: generates an answer with a model, streamed to standard output.
import { Command, InvalidArgumentError } from "commander";

import { Config } from "../../config/index.ts";
import { checkModel } from "../../hub/index.ts";
import { UserError } from "../../util/index.ts";
import { InferencerActor } from "../../train/actors/index.ts";
import { withActor } from "../with-actor.ts";

/** How answers are made, as options of a command. */
export interface AnswerFlags {
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly seed?: number;
}

interface Options extends AnswerFlags {
  readonly model?: string;
  readonly adapter?: string;
  readonly prompt: string;
  readonly chatTemplate?: string;
  readonly gpu?: boolean;
}

/** Parser of a numeric option with bounds. */
export function numberBetween(low: number, high: number, whole = false): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= low && value <= high) || (whole && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`expected a ${whole ? "whole " : ""}number from ${low} to ${high}`);
    }
    return value;
  };
}

export function withAnswerOptions(command: Command): Command {
  return command
    .option("--max-new-tokens <n>", "most tokens of the answer", numberBetween(1, 1_000_000, true), 256)
    .option("--temperature <t>", "0 always takes the likeliest token", numberBetween(0, 100), 0)
    .option(
      "--top-p <p>",
      "take from the likeliest tokens whose probabilities sum to p",
      numberBetween(0, 1),
      1,
    )
    .option(
      "--top-k <k>",
      "take from the k likeliest tokens; 0: from all",
      numberBetween(0, 1_000_000, true),
      0,
    )
    .option("--seed <n>", "of the random choices", numberBetween(0, Number.MAX_SAFE_INTEGER, true));
}

/** Of the commands that ask or measure a model. */
export const chatTemplateOption = [
  "--chat-template <template>",
  "in place of the model's own: one of its templates by name, a file, or a template's text",
] as const;

/** The model of a command that needs one, and an adapter of it. */
export const modelOption = [
  "--model <folder>",
  "model folder, a checkpoint's step-N, or hf://org/name; with --adapter by default the one that it adapts",
] as const;
export const adapterOption = [
  "--adapter <folder>",
  "an adapter of the model: a run's step-N or step-N-hf, or what PEFT saved",
] as const;

/** The model that these options mean. @throws UserError where neither is given */
export async function modelOf({
  model,
  adapter,
}: {
  readonly model?: string;
  readonly adapter?: string;
}): Promise<string> {
  if (model !== undefined) return model;
  if (adapter === undefined)
    throw new UserError("--model: expected a model folder or hf://org/name, found none", { exitCode: 2 });
  const { baseOfAdapter } = await import("../../train/index.ts");
  return baseOfAdapter(adapter);
}

/** Says which options do nothing at temperature 0. */
export function noteGreedy({ temperature, topP, topK, seed }: AnswerFlags): void {
  if (temperature === 0 && (topP < 1 || topK > 0 || seed !== undefined))
    console.error(
      "note: at --temperature 0 the likeliest token is always taken: --top-p, --top-k and --seed change nothing; give --temperature 0.7, say",
    );
}

export function command(): Command {
  return withAnswerOptions(new Command("generate"))
    .option(...modelOption)
    .option(...adapterOption)
    .requiredOption("--prompt <text>", "what the user says; the model's chat template is applied")
    .option(...chatTemplateOption)
    .option("--gpu", "compute on the GPU")
    .addHelpText(
      "after",
      '\nExample:\n  $ npx torchforge generate --model ./model --prompt "Why is the sky blue?" --temperature 0.7 --top-p 0.9',
    )
    .action(async (options: Options) => {
      const { model: _, adapter, prompt, chatTemplate = null, gpu = false, ...answer } = options;
      noteGreedy(answer);
      const model = await modelOf(options);
      await checkModel(model, { key: "--model" });
      const config = Config.create({
        model: { hf_assets_path: model, chat_template: chatTemplate },
        adapter: { initial_load_path: adapter ?? null },
        processes: { procs: 1, with_gpus: gpu },
      });
      const { newTokens, seconds } = await withActor(
        InferencerActor,
        config,
        { notesToStderr: true },
        async ({ actor }) => await actor.generate(prompt, answer),
      );
      process.stdout.write("\n");
      console.error(`${newTokens} tokens in ${seconds.toFixed(1)} s`);
    });
}
