// What the ranks of a run agree on outside the model: sums of losses and token counts, whether to stop, what rank 0 found. A run
// of one process has a Ranks that asks nobody, so that callers need no second path.
import {
  allGatherObject,
  allReduce,
  barrier,
  broadcastObject,
  type ProcessGroup,
  worldGroup,
} from "../comm/index.ts";
import { float64, fromArray, scope } from "../torch/index.ts";
import { messageOf, UserError } from "../util/index.ts";

/** Seconds. Long, since another rank may be writing a checkpoint; one that gives no sign of life is noticed soon in any case. */
const patience = 3600;

type Failure = { error: string; exitCode?: 1 | 2 };
type Outcome<T> = { value: T } | Failure;

export class Ranks {
  readonly #world: ProcessGroup | undefined;
  readonly #loss: ProcessGroup | undefined;
  /** Which part of the data this process reads. */
  readonly data: { readonly rank: number; readonly worldSize: number };

  /** @param loss the ranks whose losses add up */
  private constructor(
    world: ProcessGroup | undefined,
    loss: ProcessGroup | undefined,
    data: { rank: number; worldSize: number },
  ) {
    this.#world = world;
    this.#loss = loss;
    this.data = data;
  }

  /** Of a single process. */
  static readonly one = new Ranks(undefined, undefined, { rank: 0, worldSize: 1 });

  static ofWorld(loss: ProcessGroup | undefined, data: { rank: number; worldSize: number }): Ranks {
    return new Ranks(worldGroup(), loss, data);
  }

  get rank(): number {
    return this.#world?.globalRank ?? 0;
  }
  get size(): number {
    return this.#world?.size ?? 1;
  }
  /** Whether this process writes what the run writes once. */
  get isFirst(): boolean {
    return this.rank === 0;
  }

  /** Each number's sum over the ranks with other tokens. Blocks, so that it may be used inside a step. */
  sum(numbers: readonly number[]): number[] {
    return this.#reduce(numbers, this.#loss, "sum");
  }

  /** Each number's sum over the parts of the data: that of ranks that read the same rows, and say the same, counts once. */
  sumOverData(numbers: readonly number[]): number[] {
    const copies = (this.#loss?.size ?? 1) / this.data.worldSize;
    return this.sum(numbers).map((sum) => sum / copies);
  }

  /** Whether the flag is set on any rank of the run. */
  any(flag: boolean): boolean {
    return this.anyOf([flag])[0]!;
  }

  /** As `any`, for several flags at once. */
  anyOf(flags: readonly boolean[]): boolean[] {
    return this.#reduce(
      flags.map((flag) => (flag ? 1 : 0)),
      this.#world,
      "max",
    ).map((found) => found > 0);
  }

  #reduce(numbers: readonly number[], group: ProcessGroup | undefined, op: "sum" | "max"): number[] {
    if (group === undefined) return [...numbers];
    using _ = scope();
    // Counts and losses are exact in float64, and NaN stays what it is.
    return allReduce(fromArray([...numbers], { dtype: float64 }), { group, op }).tolist() as number[];
  }

  /** Every rank's value, in rank order. */
  async gather<T>(value: T): Promise<T[]> {
    return this.#world === undefined
      ? [value]
      : await allGatherObject(value, { group: this.#world, timeoutSeconds: patience });
  }

  /** The value of each part of the data: of the ranks that read the same, the first one's. */
  async gatherByData<T>(value: T): Promise<T[]> {
    const found: T[] = [];
    for (const { part, value: theirs } of await this.gather({ part: this.data.rank, value }))
      if (!(part in found)) found[part] = theirs;
    return found;
  }

  /** Runs `make` on rank 0 alone and returns its value on every rank; if it fails there, every rank fails with its text. */
  async fromRank0<T>(make: () => T | Promise<T>): Promise<T> {
    if (this.#world === undefined) return await make();
    let outcome: Outcome<T> | undefined;
    let own: unknown;
    if (this.isFirst) {
      try {
        outcome = { value: await make() };
      } catch (error) {
        own = error;
        outcome = failureOf(error);
      }
    }
    const told = await broadcastObject<Outcome<T> | null>(outcome ?? null, {
      group: this.#world,
      src: 0,
      timeoutSeconds: patience,
    });
    if (own !== undefined) throw own;
    const found = outcome ?? told!;
    if ("error" in found) throw otherRank(0, found);
    return found.value;
  }

  /** Runs `body` on every rank; if one fails, all do, each with its own error or with that of the lowest rank. */
  async runOnAll<T>(body: () => T | Promise<T>): Promise<T> {
    if (this.#world === undefined) return await body();
    let value: { made: T } | undefined;
    let own: unknown;
    try {
      value = { made: await body() };
    } catch (error) {
      own = error;
    }
    const failures = await this.gather(value === undefined ? failureOf(own) : null);
    if (value === undefined) throw own;
    const failed = failures.findIndex((one) => one !== null);
    if (failed >= 0) throw otherRank(failed, failures[failed]!);
    return value.made;
  }

  /** Runs `body` on rank 0, then on the others: they find what it downloaded or wrote. */
  async rank0ThenOthers<T>(body: () => T | Promise<T>): Promise<T> {
    if (this.#world === undefined) return await body();
    let mine: { value: T } | undefined;
    await this.fromRank0(async () => {
      mine = { value: await body() };
      return null;
    });
    return mine === undefined ? await body() : mine.value;
  }

  /** Resolves when every rank has called it. */
  async barrier(): Promise<void> {
    if (this.#world !== undefined)
      await barrier({ group: this.#world, async: true, timeoutSeconds: patience });
  }
}

function failureOf(error: unknown): Failure {
  const failure = { error: messageOf(error) };
  return error instanceof UserError ? { ...failure, exitCode: error.exitCode } : failure;
}

function otherRank(rank: number, { error, exitCode = 1 }: Failure): UserError {
  return new UserError(`rank ${rank}: ${error}`, { exitCode });
}
