// The data positions of a run's ranks, made into those of another number of ranks. Rank r of W takes rows r, r + W, r + 2W, …
// of an epoch's order, so another number of ranks can't resume exactly: the new ranks begin at the first row that any old rank
// had not read. Rows after it that other ranks had read come a second time; none is left out.
import { checkLoaderState } from "./state-check.ts";
import type { LedgerState } from "./ledger.ts";
import type { LoaderState } from "./loader.ts";
import { reshardStream, type StreamState } from "./stream-state.ts";

/**
 * The states for `worldSize` ranks. Rows in packing buffers are distributed round-robin.
 * @param states one for each old rank, in order
 */
export function reshardLoaderStates(states: readonly LoaderState[], worldSize: number): LoaderState[] {
  for (const state of states) checkLoaderState(state);
  const [first] = states as [LoaderState, ...LoaderState[]];
  if (states.length === worldSize) return [...states];
  const epoch = Math.min(...states.map((state) => state.epoch));
  // In the order of the epoch that is furthest behind: the first row that its ranks haven't read.
  const next = Math.min(
    ...states
      .filter((state) => state.epoch === epoch)
      .map((state) => state.rank + state.position * state.worldSize),
  );
  if (first.stream !== undefined)
    return streamStates(states as readonly (LoaderState & { stream: StreamState })[], worldSize);
  const waiting = [...new Set(states.flatMap((state) => state.buffer))];
  const { offset: _, ...common } = first; // a document that a sequence had cut comes again from its beginning
  return Array.from({ length: worldSize }, (_, rank) => ({
    ...common,
    rank,
    worldSize,
    epoch,
    position: Math.max(0, Math.ceil((next - rank) / worldSize)),
    buffer: waiting.filter((_row, i) => i % worldSize === rank),
    ledger: ledgerOf(states, rank),
  }));
}

function streamStates(
  states: readonly (LoaderState & { stream: StreamState })[],
  worldSize: number,
): LoaderState[] {
  const stream = reshardStream(states);
  const { offset: _, ...common } = states[0]!;
  const position = Math.max(...states.map((state) => state.position));
  return Array.from({ length: worldSize }, (_, rank) => ({
    ...common,
    rank,
    worldSize,
    epoch: stream.next.epoch,
    position,
    buffer: [],
    stream,
    ledger: ledgerOf(states, rank),
  }));
}

/** Counted once: by the first rank. */
const ledgerOf = (states: readonly LoaderState[], rank: number): LedgerState =>
  rank === 0 ? states.map((state) => state.ledger).reduce(addLedgers) : { trained: 0, reasons: [] };

function addLedgers(a: LedgerState, b: LedgerState): LedgerState {
  const reasons = new Map(a.reasons.map((one) => [`${one.kind} ${one.reason}`, one]));
  for (const one of b.reasons) {
    const key = `${one.kind} ${one.reason}`;
    const same = reasons.get(key);
    reasons.set(key, same ? { ...same, rows: same.rows + one.rows } : one);
  }
  return { trained: a.trained + b.trained, reasons: [...reasons.values()] };
}
