// The job of `forge quickstart`: the same trainer as `forge sft`, with the model asked before and after.
import { readFileSync } from "node:fs";

import { Config, type ConfigInput } from "../../config/index.ts";
import { describeRun } from "../describe-run.ts";
import { ChatModel } from "../inference.ts";
import { Trainer, type TrainerResult } from "../trainer.ts";
import type { JobContext } from "./context.ts";

export interface QuickstartJob {
  config: ConfigInput;
  /** Held-out rows in Alpaca form. */
  heldout: string;
  /** How many of them are answered for exact match. */
  questions: number;
}

interface Row {
  instruction: string;
  input: string;
  output: string;
}

export interface Examined {
  loss: number;
  /** Part of the answers that are exactly right. */
  exact: number;
  samples: { input: string; expected: string; answer: string }[];
}

export interface QuickstartResult extends TrainerResult {
  /** Undefined where the user stopped before it was known. */
  before: Examined | undefined;
  after: Examined | undefined;
  seconds: number;
}

const shown = 2;

export async function run(job: QuickstartJob, context: JobContext): Promise<QuickstartResult> {
  const trainer = await Trainer.create(Config.create(job.config), {
    onNote: context.note,
    onRecord: context.record,
  });
  try {
    for (const line of describeRun(trainer)) context.note(line);
    const rows = readFileSync(job.heldout, "utf8")
      .split("\n")
      .filter(Boolean)
      .slice(0, job.questions)
      .map((line) => JSON.parse(line) as Row);
    context.note("");
    context.onStop(() => trainer.stop());
    const before = await examine(trainer, rows);
    if (before) show("before", before, context);
    const begin = performance.now();
    const result = await trainer.train();
    const seconds = (performance.now() - begin) / 1000;
    const after = before && (await examine(trainer, rows));
    if (after) show("after", after, context);
    return { ...result, before, after, seconds };
  } finally {
    await trainer.close();
  }
}

/** Undefined when the user asks to stop meanwhile. */
async function examine(trainer: Trainer, rows: readonly Row[]): Promise<Examined | undefined> {
  const [held] = await trainer.evaluate();
  const chat = new ChatModel(trainer.model, trainer.tokenizer);
  const answers: string[] = [];
  const together = 25;
  for (let from = 0; from < rows.length; from += together) {
    // The wish to stop is heard between the groups.
    await new Promise((resolve) => setImmediate(resolve));
    if (trainer.stopped.aborted) return undefined;
    const prompts = rows.slice(from, from + together).map((row) => questionOf(row));
    answers.push(...chat.answer(prompts, { maxNewTokens: 40 }));
  }
  const right = rows.filter((row, i) => answers[i]!.trim() === row.output).length;
  return {
    loss: held!.loss,
    exact: rows.length === 0 ? 0 : right / rows.length,
    samples: rows
      .slice(0, shown)
      .map((row, i) => ({ input: row.input, expected: row.output, answer: answers[i]!.trim() })),
  };
}

/** As the data's format `instruction` asks: without Alpaca's preamble, which would double the length of these rows. */
const questionOf = (row: Row): string => `${row.instruction}\n${row.input}`;

function show(when: string, { loss, exact, samples }: Examined, context: JobContext): void {
  context.note(
    `${when} training: held-out loss ${loss.toFixed(3)}, exactly right ${(100 * exact).toFixed(0)} %`,
  );
  for (const { input, answer } of samples) {
    context.note(`  ask     ${input}`);
    context.note(`  answer  ${answer.replaceAll("\n", " ").slice(0, 160)}`);
  }
  context.note("");
}
