// `sampleAnswers(…)`: the answers of models to some prompts, side by side, such as before and after training.
import { basename } from "node:path";
import { inspect } from "node:util";

import { SpawnActor } from "../actors/index.ts";
import { type AnswerOptions, InferencerActor } from "../train/actors/index.ts";
import { UserError } from "../util/index.ts";
import { RichOutput } from "./rich-output.ts";
import { tableHtml, tableText } from "../view/index.ts";

/** A spawned actor, such as `spawner.actor` between phases, with the model in its current state. */
interface AnsweringActor {
  answer(prompts: readonly string[], options?: AnswerOptions): Promise<string[]>;
}

/** A model folder (or hf://org/name), the result of a training (whose last checkpoint is used), or a spawned actor. */
export type AnswerSource = string | { readonly checkpoint: string | undefined } | AnsweringActor;

/** Answers of one or several models to the same prompts. */
export class SampledAnswers extends RichOutput {
  /** One row per prompt, with one answer per model. */
  readonly answers: readonly (readonly string[])[];

  constructor(
    prompts: readonly string[],
    models: readonly string[],
    answers: readonly (readonly string[])[],
  ) {
    const head = ["prompt", ...models];
    const rows = prompts.map((prompt, i) => [prompt, ...answers[i]!]);
    super({ "text/html": tableHtml(head, rows), "text/plain": tableText(head, rows) });
    this.answers = answers;
  }
}

/**
 * Answers each prompt with each model, greedily unless a temperature is given. A model that is given as a folder is loaded in
 * its own process, which ends afterwards.
 * @param from one model, or several to compare
 * @throws UserError if a model can't be loaded, or a training saved no checkpoint
 * @example
 * ```ts no-run
 * import { sampleAnswers } from "torchforge/notebook";
 *
 * const before = "hf://HuggingFaceTB/SmolLM2-135M-Instruct";
 * const { answers } = await sampleAnswers([before, "outputs/my-run/checkpoint/step-100"], ["What is a tensor?"], {
 *   maxNewTokens: 40,
 * });
 * console.log(answers[0]); // one answer per model
 * ```
 */
export async function sampleAnswers(
  from: AnswerSource | readonly AnswerSource[],
  prompts: readonly string[],
  options: AnswerOptions = {},
): Promise<SampledAnswers> {
  const sources = (Array.isArray(from) ? from : [from]) as readonly AnswerSource[];
  const columns: string[][] = [];
  for (const source of sources) columns.push(await answersOf(source, prompts, options));
  return new SampledAnswers(
    prompts,
    sources.map(nameOf),
    prompts.map((_, i) => columns.map((column) => column[i]!.trim())),
  );
}

const isActor = (source: AnswerSource): source is AnsweringActor =>
  typeof source === "object" && "answer" in source && typeof source.answer === "function";

function nameOf(source: AnswerSource): string {
  if (isActor(source)) return "the model now";
  return basename(typeof source === "string" ? source : source.checkpoint!);
}

async function answersOf(
  source: AnswerSource,
  prompts: readonly string[],
  options: AnswerOptions,
): Promise<string[]> {
  if (
    typeof source !== "string" &&
    ((source as unknown) instanceof Promise ||
      typeof source !== "object" ||
      source === null ||
      !("checkpoint" in source || isActor(source)))
  )
    throw new UserError(
      `sampleAnswers: expected a model's folder, what a training returned, or an actor; found ${
        source instanceof Promise
          ? "a promise: write await before what gives it"
          : inspect(source, { depth: 0 })
      }`,
    );
  if (isActor(source)) return await source.answer(prompts, options);
  const folder = typeof source === "string" ? source : source.checkpoint;
  if (folder === undefined) {
    throw new UserError(
      "sampleAnswers: this training saved no checkpoint (checkpoint.enable is false, or it was stopped before its first step); give a model's folder",
    );
  }
  // Without `using`, so that an older Node can read this file and is told what it needs.
  const spawner = new SpawnActor(
    InferencerActor,
    { model: { hf_assets_path: folder } },
    { presenter: false },
  );
  try {
    const actor = await spawner.spawn();
    await spawner.setup();
    return await actor.answer(prompts, options);
  } finally {
    await spawner[Symbol.asyncDispose]();
  }
}
