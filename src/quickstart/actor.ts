// The trainer that `forge quickstart` runs: its model can be examined on held-out rows before and after training.
import { readFileSync } from "node:fs";

import { TrainerActor } from "../train/actors/index.ts";

interface Row {
  instruction: string;
  input: string;
  output: string;
}

export interface ExamineResult {
  loss: number;
  /** Fraction of exactly correct answers. */
  exact: number;
}

const shownRows = 2;
const batchSize = 25;

export class QuickstartActor extends TrainerActor {
  static override readonly module = import.meta.url;
  static override readonly collective: readonly string[] = [...TrainerActor.collective, "examine"];

  /**
   * Measures the held-out loss, and the fraction of the first rows that are answered exactly.
   * @param heldout JSONL file of rows in Alpaca form
   * @param questions the number of rows to answer
   * @returns undefined if the user requested a stop meanwhile
   */
  async examine(when: string, heldout: string, questions: number): Promise<ExamineResult | undefined> {
    const rows = readFileSync(heldout, "utf8")
      .split("\n")
      .filter(Boolean)
      .slice(0, questions)
      .map((line) => JSON.parse(line) as Row);
    const chat = await this.chatModel("examine");
    // After the last step, training has just evaluated.
    const [evaluation] = this.trainer("examine").evaluation ?? (await this.trainer("examine").evaluate());
    const answers: string[] = [];
    for (let from = 0; from < rows.length; from += batchSize) {
      // Lets a stop request arrive between batches.
      await new Promise((resolve) => setImmediate(resolve));
      const trainer = this.trainer("examine");
      if (trainer.ranks.any(this.stopRequested)) return undefined;
      const prompts = rows.slice(from, from + batchSize).map((row) => questionOf(row));
      answers.push(...trainer.withWholeModel(() => chat.answer(prompts, { maxNewTokens: 40 })));
    }
    const numCorrect = rows.filter((row, i) => answers[i]!.trim() === row.output).length;
    const result = { loss: evaluation!.loss, exact: rows.length === 0 ? 0 : numCorrect / rows.length };
    this.note(
      `${when} training: held-out loss ${result.loss.toFixed(3)}, exactly right ${(100 * result.exact).toFixed(0)} %`,
    );
    for (const [i, { input }] of rows.slice(0, shownRows).entries()) {
      this.note(`  ask     ${input}`);
      this.note(`  answer  ${answers[i]!.trim().replaceAll("\n", " ").slice(0, 160)}`);
    }
    this.note("");
    return result;
  }

  protected override describe(lines: readonly string[]): readonly string[] {
    return [...lines, ""];
  }
}

/** The prompt of the data format `instruction`: without Alpaca's preamble, which would double the length of these rows. */
const questionOf = (row: Row): string => `${row.instruction}\n${row.input}`;
