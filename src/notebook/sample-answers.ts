// `sampleAnswers(…)`: what models answer to some prompts, side by side, such as a model before and after its training.
import { basename } from "node:path";
import { inspect } from "node:util";

import { SpawnActor } from "../actors/index.ts";
import { type AnswerOptions, InferencerActor } from "../train/actors/index.ts";
import { UserError } from "../util/index.ts";
import { RichOutput } from "./rich-output.ts";
import { tableHtml, tableText } from "../view/index.ts";

/** An actor that is up, such as `spawner.actor` between its phases: the model as it is there now. */
interface Answering {
  answer(prompts: readonly string[], options?: AnswerOptions): Promise<string[]>;
}

/** The folder of a model (or hf://org/name), what a training returned (its last checkpoint), or an actor. */
export type AnswerSource = string | { readonly checkpoint: string | undefined } | Answering;

/** Answers of one or several models to the same prompts. */
export class SampledAnswers extends RichOutput {
  /** A row a prompt; of each model its answer. */
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
 * Asks each model each prompt, without chance unless a temperature is given. A model that is named by its folder is loaded in a
 * process of its own, which ends afterwards.
 * @param from one model, or several to compare
 * @throws UserError for a model that can't be loaded, or a training that saved none
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

const isActor = (source: AnswerSource): source is Answering =>
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
  await using spawner = new SpawnActor(
    InferencerActor,
    { model: { hf_assets_path: folder } },
    { presenter: false },
  );
  const actor = await spawner.spawn();
  await spawner.setup();
  return await actor.answer(prompts, options);
}
