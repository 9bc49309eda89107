// The most that a rank's tensors hold in a step: walks the passes over its blocks in their order and adds up what each makes,
// keeps and drops. Sizes come from shapes alone (forecast.ts); the same passes run for real on tensors without memory in
// simulate.ts, against which this is tested.
import type { Action } from "../../parallel/index.ts";

/** One block of a rank: bytes of one micro-batch. */
export interface BlockMemory {
  /** Numbers of its parameters on this rank, before they are sharded. */
  readonly numbers: number;
  /** Of which a rank's part is a shard, where experts are divided among ranks: with those of all. Default: `numbers`. */
  readonly sharded?: number;
  /** Of those that it computes with, where another block has them, too (tied embeddings). Default: its own. */
  readonly uses?: number;
  /** What it keeps from forward to backward. */
  readonly kept: number;
  /** What it keeps where its weights' gradients wait for later. */
  readonly waiting: number;
  /** What forward needs beside. */
  readonly forward: number;
  /** What backward needs beside, its gradients' memory excepted. */
  readonly backward: number;
  /** Of the embedding: its gradient is added to the one that is there, row by row. */
  readonly addsRows?: boolean;
  /** Of a head with the embedding's weights: bytes of their gradient, which the embedding's is added to. */
  readonly tied?: number;
}

export interface WalkOptions {
  /** Before the step: weights and moments. */
  readonly resident: number;
  /** Blocks of each stage of this rank, by the stage's number. */
  readonly stages: ReadonlyMap<number, readonly BlockMemory[]>;
  readonly actions: readonly Action[];
  readonly splitsBackward: boolean;
  /** Bytes of a number: of parameters and their gradients, of what is computed with, of gradients on their way. */
  readonly bytes: { readonly own: number; readonly compute: number; readonly reduce: number };
  /** Undefined: parameters are whole. */
  readonly sharding:
    | {
        readonly ranks: number;
        /** Parameters stay whole from their first use in a step to its end. */
        readonly staysWhole: boolean;
        /** What adding up over the ranks holds at a time: what is sent, and on a CPU what comes. */
        readonly copies: number;
      }
    | undefined;
}

export function peakBytes(options: WalkOptions): number {
  const { resident, stages, actions, splitsBackward, bytes, sharding } = options;
  let [now, most] = [resident, resident];
  const peak = (beside: number): void => {
    most = Math.max(most, now + beside);
  };
  const have = new Set<BlockMemory>();
  const whole = new Set<BlockMemory>();
  /** Of the block whose gradients are on their way to other ranks. */
  let sending = 0;
  /** Of the gradient that a head left for the embedding. */
  let left = 0;

  // Memory of the gathered parameters of a block while it computes, and of those that come meanwhile.
  const gathered = (block: BlockMemory, next: BlockMemory | undefined): number => {
    if (sharding === undefined) return 0;
    if (!sharding.staysWhole)
      return ((block.uses ?? block.numbers) + (next?.uses ?? next?.numbers ?? 0)) * bytes.compute;
    if (!whole.has(block)) now += block.numbers * bytes.compute;
    whole.add(block);
    return 0;
  };
  const takeGradient = (block: BlockMemory): void => {
    if (block.addsRows === true) {
      now -= left;
      left = 0;
    }
    if (sharding !== undefined) {
      peak(block.numbers * (bytes.compute + bytes.reduce * sharding.copies));
      now -= sending;
      sending = block.numbers * bytes.reduce * sharding.copies;
      now += sending;
    }
    const shard = sharding === undefined ? block.numbers : (block.sharded ?? block.numbers) / sharding.ranks;
    if (!have.has(block)) now += shard * bytes.own;
    have.add(block);
  };
  const leave = (tied: number): void => {
    const embedding = [...stages.values()].flat().find((one) => one.addsRows === true)!;
    // Unsharded it is the embedding's gradient for good.
    if (sharding === undefined ? have.has(embedding) : left > 0) return;
    now += tied;
    if (sharding === undefined) have.add(embedding);
    else left = tied;
  };
  const run = {
    forward(blocks: readonly BlockMemory[]): void {
      for (const [i, block] of blocks.entries()) {
        const fetched = gathered(block, blocks[i + 1]);
        peak(fetched + block.forward);
        now += block.kept;
      }
    },
    backward(blocks: readonly BlockMemory[]): void {
      for (const [i, block] of [...blocks.entries()].toReversed()) {
        const fetched = gathered(block, blocks[i - 1]);
        // Gradients of weights are in the type that is computed with until they are added to the others.
        const inPlace = block.addsRows === true && (left > 0 || (sharding === undefined && have.has(block)));
        peak(fetched + block.backward + (inPlace ? 0 : block.numbers * bytes.compute));
        now -= block.kept;
        if (block.tied !== undefined) leave(block.tied);
        if (splitsBackward) now += block.waiting;
        else takeGradient(block);
      }
    },
    "weight-backward"(blocks: readonly BlockMemory[]): void {
      for (const block of blocks.toReversed()) {
        const inPlace = block.addsRows === true && (left > 0 || have.has(block));
        peak(gathered(block, undefined) + (inPlace ? 0 : block.numbers * bytes.compute));
        now -= block.waiting;
        takeGradient(block);
      }
    },
  };
  for (const { kind, stage } of actions) run[kind](stages.get(stage)!);
  return most;
}
