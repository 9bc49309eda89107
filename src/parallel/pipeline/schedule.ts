// A pipeline schedule as data: for each rank of a pipeline the order of its passes over (stage, microbatch). Generators for
// the named schedules; nothing here runs a model. schedule-check.ts simulates a schedule and measures it.
// Sources: GPipe, https://arxiv.org/abs/1811.06965; 1F1B, https://arxiv.org/abs/1806.03377; interleaved 1F1B,
// https://arxiv.org/abs/2104.04473; zero bubble and its V, https://arxiv.org/abs/2401.10241 and 2405.15362.

export const scheduleNames = ["1F1B", "Interleaved1F1B", "GPipe", "ZBVZeroBubble"] as const;
export type ScheduleName = (typeof scheduleNames)[number];

/**
 * `forward`; `backward`: gradients of inputs and weights, or of the inputs alone in a schedule that splits them;
 * `weight-backward`: then those of the weights.
 */
export type PassKind = "forward" | "backward" | "weight-backward";

export interface Action {
  readonly kind: PassKind;
  readonly stage: number;
  readonly microbatch: number;
}

export interface Schedule {
  readonly name: string;
  readonly ranks: number;
  readonly stages: number;
  readonly microbatches: number;
  /** Whether gradients of weights have passes of their own. */
  readonly splitsBackward: boolean;
  /** The rank of each stage. */
  readonly rankOf: readonly number[];
  /** Each rank's passes, in order. */
  readonly order: readonly (readonly Action[])[];
}

/** Stages that each rank runs. */
export function stagesPerRank(name: ScheduleName): number {
  return name === "Interleaved1F1B" || name === "ZBVZeroBubble" ? 2 : 1;
}

/** The rank of each stage: round-robin, or down and up again in a V, where rank 0 has both the first and the last stage. */
export function ranksOfStages(name: ScheduleName, ranks: number): number[] {
  const isV = name === "ZBVZeroBubble";
  return Array.from({ length: ranks * stagesPerRank(name) }, (_, stage) =>
    isV && stage >= ranks ? 2 * ranks - 1 - stage : stage % ranks,
  );
}

export function makeSchedule(name: ScheduleName, ranks: number, microbatches: number): Schedule {
  const rankOf = ranksOfStages(name, ranks);
  const splitsBackward = name === "ZBVZeroBubble";
  const given = { name, ranks, stages: rankOf.length, microbatches, splitsBackward, rankOf };
  return { ...given, order: orders[name](ranks, microbatches) };
}

/** Forward alone, as evaluation runs it: a rank's stages one after the other, each over all microbatches. */
export function makeForwardSchedule(name: ScheduleName, ranks: number, microbatches: number): Schedule {
  const rankOf = ranksOfStages(name, ranks);
  const order = Array.from({ length: ranks }, (_, rank) =>
    rankOf.flatMap((owner, stage) =>
      owner === rank ? range(microbatches).map((microbatch) => act("forward", stage, microbatch)) : [],
    ),
  );
  const given = { name: `${name}, forward`, ranks, stages: rankOf.length, microbatches, rankOf };
  return { ...given, splitsBackward: false, order };
}

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);
const act = (kind: PassKind, stage: number, microbatch: number): Action => ({ kind, stage, microbatch });

const orders: Record<ScheduleName, (ranks: number, microbatches: number) => Action[][]> = {
  GPipe: (ranks, count) =>
    range(ranks).map((stage) => [
      ...range(count).map((i) => act("forward", stage, i)),
      ...range(count).map((i) => act("backward", stage, i)),
    ]),

  "1F1B": (ranks, count) =>
    range(ranks).map((stage) =>
      alternate(
        range(count).map((i) => act("forward", stage, i)),
        range(count).map((i) => act("backward", stage, i)),
        ranks - 1 - stage,
      ),
    ),

  Interleaved1F1B: (ranks, count) => {
    const chunks = 2;
    // Microbatches go in rounds of at least as many as ranks: a round runs through one of a rank's stages, then the next.
    const rounds = Math.max(1, Math.floor(count / ranks));
    const groups = range(rounds).map((round) => {
      const at = (i: number): number => Math.floor((i * count) / rounds);
      return range(at(round + 1) - at(round)).map((i) => at(round) + i);
    });
    const most = Math.max(...groups.map((group) => group.length));
    return range(ranks).map((rank) => {
      const through = (kind: PassKind, ofRank: readonly number[]): Action[] =>
        groups.flatMap((group) =>
          ofRank.flatMap((chunk) => group.map((i) => act(kind, chunk * ranks + rank, i))),
        );
      const warmUp = (chunks - 1) * most + 2 * (ranks - 1 - rank);
      return alternate(through("forward", [0, 1]), through("backward", [1, 0]), warmUp);
    });
  },

  ZBVZeroBubble: zeroBubbleV,
};

/** `warmUp` forwards, then forwards and backwards alternately, then the remaining backwards. */
function alternate(forwards: readonly Action[], backwards: readonly Action[], warmUp: number): Action[] {
  const first = Math.min(warmUp, forwards.length);
  const order = forwards.slice(0, first);
  for (const [i, backward] of backwards.entries()) {
    const forward = forwards[first + i];
    if (forward !== undefined) order.push(forward);
    order.push(backward);
  }
  return order;
}

/**
 * Every rank runs a stage on the way down and one on the way up. Each pass takes one unit of time; a rank whose turn it is
 * takes what helps the others most: a backward, else a forward on the way up, else one on the way down while no more than
 * 2 x ranks microbatches of a stage are held (what 1F1B holds at most), and fills the time that is left with weights.
 */
function zeroBubbleV(ranks: number, count: number): Action[][] {
  const stages = 2 * ranks;
  const order: Action[][] = range(ranks).map(() => []);
  const done = new Map<string, number>();
  const key = (kind: PassKind, stage: number, i: number): string => `${kind} ${stage} ${i}`;
  const state = range(ranks).map((rank) => ({
    chunks: [rank, stages - 1 - rank].map((stage) => ({ stage, forward: 0, backward: 0, weight: 0 })),
  }));
  const left = (): boolean => order.some((one) => one.length < 6 * count);
  for (let time = 0; left(); time++) {
    const before = (kind: PassKind, stage: number, i: number): boolean => {
      const at = done.get(key(kind, stage, i));
      return at !== undefined && at <= time;
    };
    const taken: Action[] = [];
    for (const [rank, { chunks }] of state.entries()) {
      const [down, up] = chunks as [(typeof chunks)[0], (typeof chunks)[0]];
      const held = chunks.reduce((sum, chunk) => sum + chunk.forward - chunk.weight, 0);
      const canForward = ({ stage, forward: i }: typeof down): boolean =>
        i < count && (stage === 0 || before("forward", stage - 1, i));
      const canBackward = ({ stage, forward, backward: i }: typeof down): boolean =>
        i < forward && (stage === stages - 1 || before("backward", stage + 1, i));
      const backward = [up, down].filter(canBackward).sort((a, b) => a.backward - b.backward)[0];
      const weight = [up, down].filter((chunk) => chunk.weight < chunk.backward);
      weight.sort((a, b) => a.weight - b.weight);
      let chosen: Action | undefined;
      if (backward !== undefined) chosen = act("backward", backward.stage, backward.backward++);
      else if (held >= stages && weight[0] !== undefined)
        chosen = act("weight-backward", weight[0].stage, weight[0].weight++);
      else if (canForward(up)) chosen = act("forward", up.stage, up.forward++);
      else if (canForward(down) && held < stages) chosen = act("forward", down.stage, down.forward++);
      else if (weight[0] !== undefined) chosen = act("weight-backward", weight[0].stage, weight[0].weight++);
      if (chosen === undefined) continue;
      order[rank]!.push(chosen);
      taken.push(chosen);
    }
    if (taken.length === 0 && time > 6 * count + 4 * stages) throw new Error("the schedule stands still");
    for (const { kind, stage, microbatch } of taken) done.set(key(kind, stage, microbatch), time + 1);
  }
  return order;
}
