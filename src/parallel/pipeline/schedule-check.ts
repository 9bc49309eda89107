// Simulates a pipeline schedule without a model: finds errors (a pass before what it needs, a deadlock), measures its length,
// its bubble and how many microbatches the ranks hold, and draws it.
import type { Action, PassKind, Schedule } from "./schedule.ts";

export interface PlayedAction extends Action {
  readonly start: number;
  readonly end: number;
}

export interface Played {
  /** Each rank's passes with their times. */
  readonly timeline: readonly (readonly PlayedAction[])[];
  /** Time of the whole schedule. */
  readonly span: number;
  /** Fraction of all ranks' time in which they are idle (the bubble). */
  readonly bubble: number;
  /** Most microbatches whose activations each rank holds at once, counted once for each of its stages. */
  readonly held: readonly number[];
}

/** Time of a pass over one stage. Default: a forward takes 1 / stages of a rank, what follows it twice as much. */
export type Duration = (action: Action, schedule: Schedule) => number;

const usual: Duration = ({ kind }, { splitsBackward, stages, ranks }) => {
  const perRank = stages / ranks;
  return (kind === "backward" && !splitsBackward ? 2 : 1) / perRank;
};

const keyOf = (kind: PassKind, stage: number, microbatch: number): string => `${kind} ${stage} ${microbatch}`;
const named = ({ kind, stage, microbatch }: Action): string =>
  `${kind} of stage ${stage}, microbatch ${microbatch}`;

/** The passes that must be done before a pass. */
export function needsOf({ kind, stage, microbatch }: Action, stages: number): Action[] {
  if (kind === "forward") return stage === 0 ? [] : [{ kind, stage: stage - 1, microbatch }];
  const own = kind === "backward" ? "forward" : "backward";
  const needs: Action[] = [{ kind: own, stage, microbatch }];
  if (kind === "backward" && stage < stages - 1) needs.push({ kind, stage: stage + 1, microbatch });
  return needs;
}

/**
 * Every rank runs its passes in order, each as soon as what it needs is done on whatever rank; sending takes no time.
 * @throws Error naming the pass where the schedule is incomplete, repeats itself, is on the wrong rank or stands still
 */
export function playSchedule(schedule: Schedule, duration: Duration = usual): Played {
  const { ranks, stages, microbatches, rankOf, order, splitsBackward } = schedule;
  const forwardOnly = order.every((one) => one.every(({ kind }) => kind === "forward"));
  const kinds: PassKind[] = forwardOnly
    ? ["forward"]
    : ["forward", "backward", ...(splitsBackward ? (["weight-backward"] as const) : [])];
  const seen = new Set<string>();
  for (const [rank, actions] of order.entries())
    for (const action of actions) {
      const key = keyOf(action.kind, action.stage, action.microbatch);
      if (seen.has(key)) throw new Error(`${schedule.name}: twice: ${named(action)}`);
      if (rankOf[action.stage] !== rank)
        throw new Error(`${schedule.name}: on rank ${rank}, which has not its stage: ${named(action)}`);
      seen.add(key);
    }
  for (const kind of kinds)
    for (let stage = 0; stage < stages; stage++)
      for (let i = 0; i < microbatches; i++)
        if (!seen.has(keyOf(kind, stage, i)))
          throw new Error(`${schedule.name}: never: ${named({ kind, stage, microbatch: i })}`);

  const ends = new Map<string, number>();
  const timeline: PlayedAction[][] = order.map(() => []);
  const at = order.map(() => 0);
  for (;;) {
    let moved = false;
    for (const [rank, actions] of order.entries()) {
      for (let action = actions[at[rank]!]; action !== undefined; action = actions[at[rank]!]) {
        const needs = needsOf(action, stages).map((need) =>
          ends.get(keyOf(need.kind, need.stage, need.microbatch)),
        );
        if (needs.includes(undefined)) break;
        const start = Math.max(timeline[rank]!.at(-1)?.end ?? 0, ...(needs as number[]));
        const end = start + duration(action, schedule);
        timeline[rank]!.push({ ...action, start, end });
        ends.set(keyOf(action.kind, action.stage, action.microbatch), end);
        at[rank]!++;
        moved = true;
      }
    }
    if (at.every((done, rank) => done === order[rank]!.length)) break;
    if (!moved) {
      const stuck = order.flatMap((actions, rank) =>
        at[rank]! < actions.length ? [`rank ${rank} at ${named(actions[at[rank]!]!)}`] : [],
      );
      throw new Error(`${schedule.name}: stands still: ${stuck.join("; ")}`);
    }
  }
  const span = Math.max(0, ...timeline.map((one) => one.at(-1)?.end ?? 0));
  const busy = timeline.flat().reduce((sum, { start, end }) => sum + end - start, 0);
  return { timeline, span, bubble: span === 0 ? 0 : 1 - busy / (span * ranks), held: heldOf(schedule) };
}

/** Most microbatches of each rank, over its stages, between their forward and the end of their backward. */
function heldOf({ order, splitsBackward }: Schedule): number[] {
  const last = splitsBackward ? "weight-backward" : "backward";
  return order.map((actions) => {
    let now = 0;
    let most = 0;
    for (const { kind } of actions) {
      if (kind === "forward") most = Math.max(most, ++now);
      else if (kind === last) now--;
    }
    return most;
  });
}

/** One message between two ranks: what a pass of `stage` hands to its neighbour. */
export interface Message {
  readonly kind: "forward" | "backward";
  /** The stage that made it. */
  readonly stage: number;
  readonly microbatch: number;
}

/** What one rank sends to another, in the order in which it does: the other one receives in this order. */
export function messagesBetween(schedule: Schedule, from: number, to: number): Message[] {
  const { rankOf, stages, order } = schedule;
  const found: Message[] = [];
  for (const { kind, stage, microbatch } of order[from]!) {
    if (kind === "weight-backward") continue;
    const next = kind === "forward" ? stage + 1 : stage - 1;
    if (next >= 0 && next < stages && from !== to && rankOf[next] === to)
      found.push({ kind, stage, microbatch });
  }
  return found;
}

/**
 * The schedule as text: a line a rank, time from left to right. `3` is a forward of microbatch 3, `3'` its backward, `3"` its
 * weights; a second stage of a rank has letters (`d`, `d'`); dots are idle time.
 */
export function drawSchedule(schedule: Schedule, limit = 16): string {
  const { timeline } = playSchedule(schedule);
  const perRank = schedule.stages / schedule.ranks;
  const label = ({ kind, stage, microbatch }: Action): string => {
    const first = schedule.rankOf.indexOf(schedule.rankOf[stage]!);
    const name =
      stage === first || perRank === 1
        ? String(microbatch)
        : microbatch < 26
          ? String.fromCodePoint(97 + microbatch)
          : `+${microbatch}`;
    return name + { forward: "", backward: "'", "weight-backward": '"' }[kind];
  };
  const unit = 1 / perRank;
  const width = Math.max(...timeline.flat().map((one) => label(one).length)) + 1;
  return timeline
    .map((passes, rank) => {
      let line = "";
      for (const pass of passes) {
        const from = Math.round(pass.start / unit) * width;
        if (line.length < from) line += idle(from - line.length, width);
        const size = Math.max(1, Math.round((pass.end - pass.start) / unit)) * width;
        line += label(pass).padEnd(size);
      }
      const shown = limit * 2 * width * 3;
      return `rank ${rank}  ${line.length > shown ? `${line.slice(0, shown)}…` : line.trimEnd()}`;
    })
    .join("\n");
}

const idle = (size: number, width: number): string =>
  "."
    .padEnd(width)
    .repeat(Math.ceil(size / width))
    .slice(0, size);
