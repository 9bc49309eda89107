// What became of every row: trained, truncated (and trained), dropped or bad, with the reason. The sums balance: the
// four parts add up to the rows seen. Not a log: rows are counted, with the first few of each reason by name.

/** What happened to a row. A truncated row is trained on what is left of it. */
export type Fate =
  | { readonly kind: "trained" }
  | { readonly kind: "truncated" | "dropped" | "bad"; readonly reason: string };

/** Counts of one reason, and the places of its first rows. */
export interface ReasonCount {
  readonly kind: "truncated" | "dropped" | "bad";
  readonly reason: string;
  readonly rows: number;
  readonly examples: readonly string[];
}

export interface LedgerState {
  readonly trained: number;
  readonly reasons: readonly ReasonCount[];
}

const examplesKept = 5;

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

  /** @param place where the row is, as FILE:LINE. */
  count(fate: Fate, place: () => string): void {
    if (fate.kind === "trained") {
      this.#trained++;
      return;
    }
    const key = `${fate.kind} ${fate.reason}`;
    const entry = this.#reasons.get(key) ?? { kind: fate.kind, reason: fate.reason, rows: 0, examples: [] };
    entry.rows++;
    if (entry.examples.length < examplesKept) entry.examples.push(place());
    this.#reasons.set(key, entry);
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
  get state(): LedgerState {
    return structuredClone({ trained: this.#trained, reasons: [...this.#reasons.values()] });
  }
}
