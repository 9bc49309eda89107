// Whether a saved data position is one at all: its counts are counts. Whether it is one of these data, the loader checks.
import { UserError } from "../../util/index.ts";
import type { LedgerState } from "./ledger.ts";
import type { StreamState } from "./stream-state.ts";

export const cantResume = (why: string): UserError =>
  new UserError(
    `the checkpoint's data position can't be used: ${why}. To begin the data anew, set checkpoint.exclude_from_loading: [dataloader]`,
    { exitCode: 2 },
  );

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** The counts of a data position. */
interface PositionCounts {
  readonly epoch: number;
  readonly position: number;
  readonly rank: number;
  readonly worldSize: number;
  readonly offset?: number;
  readonly rows?: number;
  readonly buffer: readonly number[];
  readonly ledger: LedgerState;
  readonly stream?: StreamState;
}

/** @throws UserError that names the first number that can't be */
export function checkLoaderState(state: PositionCounts): void {
  if (typeof state !== "object" || state === null)
    throw cantResume(`expected an object, found ${JSON.stringify(state)}`);
  const count = (name: string, value: unknown): void => {
    if (!isCount(value))
      throw cantResume(
        `${name}: expected a whole number from 0 on, found ${JSON.stringify(value) ?? "nothing"}`,
      );
  };
  const list = (name: string, value: unknown): readonly unknown[] => {
    if (!Array.isArray(value))
      throw cantResume(`${name}: expected a list, found ${JSON.stringify(value) ?? "nothing"}`);
    return value;
  };
  const { epoch, position, rank, worldSize, offset = 0, rows = 0, buffer, ledger, stream } = state;
  for (const [name, value] of Object.entries({ epoch, position, rank, worldSize, offset, rows }))
    count(name, value);
  if (rank >= worldSize) throw cantResume(`rank: expected less than ${worldSize}, found ${rank}`);
  for (const row of list("buffer", buffer)) count("buffer", row);
  count("ledger.trained", ledger?.trained);
  for (const reason of list("ledger.reasons", ledger?.reasons)) {
    count("ledger.reasons", (reason as { rows?: unknown } | null)?.rows);
    list("ledger.reasons", (reason as { examples?: unknown }).examples);
  }
  if (stream === undefined) return;
  count("stream.shards", stream.shards);
  for (const place of [
    stream.next,
    ...(list("stream.waiting", stream.waiting) as (typeof stream)["waiting"]),
  ])
    for (const [name, value] of Object.entries(place)) count(`stream.${name}`, value);
}
