// What `forge quickstart` runs: the trainer, whose model can be examined on held-out rows before and after.
import { readFileSync } from "node:fs";

import { TrainerActor } from "../train/actors/index.ts";

interface Row {
  instruction: string;
  input: string;
  output: string;
}

export interface Examined {
  loss: number;
  /** Part of the answers that are exactly right. */
  exact: number;
}

const shown = 2;
const together = 25;

export class QuickstartActor extends TrainerActor {
  static override readonly collective: readonly string[] = [...TrainerActor.collective, "examine"];

  /**
   * Held-out loss, and how many of the first rows are answered exactly.
   * @param heldout file of rows in Alpaca form
   * @returns undefined when the user asks to stop meanwhile
   */
  async examine(when: string, heldout: string, questions: number): Promise<Examined | undefined> {
    const rows = readFileSync(heldout, "utf8")
      .split("\n")
      .filter(Boolean)
      .slice(0, questions)
      .map((line) => JSON.parse(line) as Row);
    const chat = await this.chatModel("examine");
    // After the last step training has just evaluated.
    const [held] = this.trainer("examine").evaluation ?? (await this.trainer("examine").evaluate());
    const answers: string[] = [];
    for (let from = 0; from < rows.length; from += together) {
      // The wish to stop is heard between the groups.
      await new Promise((resolve) => setImmediate(resolve));
      const trainer = this.trainer("examine");
      if (trainer.ranks.any(this.stopRequested)) return undefined;
      const prompts = rows.slice(from, from + together).map((row) => questionOf(row));
      answers.push(...trainer.withWholeModel(() => chat.answer(prompts, { maxNewTokens: 40 })));
    }
    const right = rows.filter((row, i) => answers[i]!.trim() === row.output).length;
    const result = { loss: held!.loss, exact: rows.length === 0 ? 0 : right / rows.length };
    this.note(
      `${when} training: held-out loss ${result.loss.toFixed(3)}, exactly right ${(100 * result.exact).toFixed(0)} %`,
    );
    for (const [i, { input }] of rows.slice(0, shown).entries()) {
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

/** As the data's format `instruction` asks: without Alpaca's preamble, which would double the length of these rows. */
const questionOf = (row: Row): string => `${row.instruction}\n${row.input}`;
