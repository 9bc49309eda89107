// What became of every row: trained, truncated (and trained), dropped or bad, with the reason. The sums balance: the
// four parts add up to the rows seen. Beside them, rows that are trained without a part that the chat template leaves out. Not a log: rows are counted, with the first few of each reason by name.

/** What happened to a row. A truncated row is trained on what is left of it. */
export type Fate =
  | { readonly kind: "trained" }
  | { readonly kind: "truncated" | "dropped" | "bad"; readonly reason: string };

/** Counts of one reason, and the places of its first rows. */
export interface ReasonCount {
  /** `incomplete`: rows that are trained, whole or truncated, without a part that the chat template leaves out. */
  readonly kind: "truncated" | "dropped" | "bad" | "incomplete";
  readonly reason: string;
  readonly rows: number;
  readonly examples: readonly string[];
}

export interface LedgerState {
  readonly trained: number;
  readonly reasons: readonly ReasonCount[];
}

const maxExamples = 5;
const maxExamplesShown = 3;

/** Counts rows by fate. */
export class Ledger {
  #trained = 0;
  readonly #reasons = new Map<
    string,
    { kind: ReasonCount["kind"]; reason: string; rows: number; examples: string[] }
  >();

  constructor(state?: LedgerState) {
    this.#trained = state?.trained ?? 0;
    for (const entry of state?.reasons ?? [])
      this.#reasons.set(`${entry.kind} ${entry.reason}`, { ...entry, examples: [...entry.examples] });
  }

  /** Several ledgers as one: those of the ranks, which read different rows. */
  static sum(states: readonly LedgerState[]): Ledger {
    const sum = new Ledger({ trained: states.reduce((rows, { trained }) => rows + trained, 0), reasons: [] });
    for (const { kind, reason, rows, examples } of states.flatMap(({ reasons }) => reasons)) {
      const entry = sum.#entryOf(kind, reason);
      entry.rows += rows;
      entry.examples = [...entry.examples, ...examples].slice(0, maxExamples);
    }
    return sum;
  }

  #entryOf(kind: ReasonCount["kind"], reason: string): { rows: number; examples: string[] } {
    const key = `${kind} ${reason}`;
    const entry = this.#reasons.get(key) ?? { kind, reason, rows: 0, examples: [] };
    this.#reasons.set(key, entry);
    return entry;
  }

  /**
   * @param place where the row is, as FILE:LINE
   * @param leftOut what of the row isn't in its tokens
   */
  count(fate: Fate, place: () => string, leftOut: readonly string[] = []): void {
    if (fate.kind === "trained") this.#trained++;
    else this.#countReason(fate.kind, fate.reason, place);
    for (const reason of leftOut) this.#countReason("incomplete", reason, place);
  }

  #countReason(kind: ReasonCount["kind"], reason: string, place: () => string): void {
    const entry = this.#entryOf(kind, reason);
    entry.rows++;
    if (entry.examples.length < maxExamples) entry.examples.push(place());
  }

  #sum(kind: ReasonCount["kind"]): number {
    return this.#reasons.values().reduce((sum, entry) => sum + (entry.kind === kind ? entry.rows : 0), 0);
  }

  /** Rows trained whole. */
  get trained(): number {
    return this.#trained;
  }
  /** Rows trained in part. */
  get truncated(): number {
    return this.#sum("truncated");
  }
  get dropped(): number {
    return this.#sum("dropped");
  }
  get bad(): number {
    return this.#sum("bad");
  }
  /** All rows seen: trained + truncated + dropped + bad. */
  get rows(): number {
    return this.trained + this.truncated + this.dropped + this.bad;
  }
  /** By reason, most rows first. */
  get reasons(): ReasonCount[] {
    return [...this.#reasons.values()].sort((a, b) => b.rows - a.rows);
  }
  /** A line a reason, for people: `301 truncated: longer than training.seq_len (256) (rows.jsonl:9, …)`. */
  get lines(): string[] {
    return this.reasons.map(({ kind, reason, rows, examples }) => {
      const shown = [...examples.slice(0, maxExamplesShown), ...(rows > maxExamplesShown ? ["…"] : [])];
      return `${rows} ${kind}: ${reason} (${shown.join(", ")})`;
    });
  }
  get state(): LedgerState {
    return structuredClone({ trained: this.#trained, reasons: [...this.#reasons.values()] });
  }
}
