// A part of `npm run fuzz` and `npm run soak`: one kind of attack, made again and again from a seed. Each part is a file of this
// folder, listed in parts.ts.

export interface Attack {
  /** The same seed gives the same attacks in the same order. */
  readonly seed: number;
  /** Whether another one is to be made after so many: by time, or by number where the tests run a few. */
  readonly goesOn: (made: number) => boolean;
  /** Says something on the way. */
  readonly note: (text: string) => void;
}

export interface Outcome {
  /** Attacks that were made. */
  readonly made: number;
  /** What went wrong: a sentence each, which says how to see it again. */
  readonly lost: readonly string[];
}

export interface Part {
  /** What is counted, in the plural: "files". */
  readonly unit: string;
  readonly run: (attack: Attack) => Promise<Outcome>;
}

/** A bounded number of attacks, for tests. */
export function times(count: number, seed: number): Attack {
  return { seed, goesOn: (made) => made < count, note: () => undefined };
}
