// Peak memory of a rank's tensors in a step: walks the passes over its blocks in order, and adds up what each allocates, keeps
// and frees. Sizes come from shapes alone (forecast.ts). It is tested against simulate.ts, which runs the same passes on tensors
// without memory.
import type { Action } from "../../parallel/index.ts";

/** The memory of one block of a rank: bytes for one micro-batch, unless said otherwise. */
export interface BlockMemory {
  /** Elements of its parameters on this rank, before they are sharded. */
  readonly numbers: number;
  /** Elements of them that are trained. Default: `numbers`. */
  readonly trained?: number;
  /** False: nothing in it or below it is trained, and it has no backward. Default true. */
  readonly passesGradient?: boolean;
  /** Elements that are sharded; more than `numbers` where the experts are divided among ranks. Default: `numbers`. */
  readonly sharded?: number;
  /** Elements that it computes with, where another block owns them (tied embeddings). Default: `numbers`. */
  readonly uses?: number;
  /** What it keeps from forward to backward. */
  readonly kept: number;
  /** What it keeps until a separate weight backward. */
  readonly waiting: number;
  /** Working memory of forward. */
  readonly forward: number;
  /** Working memory of backward, without the gradients. */
  readonly backward: number;
  /** The embedding: its gradient is added row by row to the one that is there. */
  readonly addsRows?: boolean;
  /** A head with tied weights: bytes of their gradient, to which the embedding adds its own. */
  readonly tied?: number;
}

export interface WalkOptions {
  /** Bytes before the step: weights and optimizer state. */
  readonly resident: number;
  /** Blocks of each stage of this rank, by the stage's number. */
  readonly stages: ReadonlyMap<number, readonly BlockMemory[]>;
  readonly actions: readonly Action[];
  readonly splitsBackward: boolean;
  /** Bytes of an element: of parameters and their gradients, of the compute type, of gradients in a reduction. */
  readonly bytes: { readonly own: number; readonly compute: number; readonly reduce: number };
  /** Undefined: parameters are whole. */
  readonly sharding:
    | {
        readonly ranks: number;
        /** Parameters stay gathered from their first use in a step to its end. */
        readonly staysWhole: boolean;
        /** Buffers of a reduction: what is sent, and on a CPU also what is received. */
        readonly copies: number;
        /** Gradients are held whole until the last pass of a stage, which reduces them. */
        readonly reducesOnce: boolean;
      }
    | undefined;
  /** A block's gradients are used and freed when they are complete. */
  readonly freesGradients: boolean;
}

/** Bytes at the peak of a step. */
export function peakBytes(options: WalkOptions): number {
  const { resident, stages, actions, splitsBackward, bytes, sharding, freesGradients } = options;
  let [now, most] = [resident, resident];
  const peak = (beside: number): void => {
    most = Math.max(most, now + beside);
  };
  const have = new Set<BlockMemory>();
  /** Blocks whose whole gradients wait for the last pass. */
  const held = new Set<BlockMemory>();
  const whole = new Set<BlockMemory>();
  /** Bytes of the reduction that is under way. */
  let sending = 0;
  /** Bytes of the gradient that a tied head left for the embedding. */
  let left = 0;

  // Gathered parameters of the block that computes, and of the next one, whose gather is in flight.
  const gathered = (block: BlockMemory, next: BlockMemory | undefined): number => {
    if (sharding === undefined) return 0;
    if (!sharding.staysWhole)
      return ((block.uses ?? block.numbers) + (next?.uses ?? next?.numbers ?? 0)) * bytes.compute;
    if (!whole.has(block)) now += block.numbers * bytes.compute;
    whole.add(block);
    return 0;
  };
  const takeGradient = (block: BlockMemory, isLast: boolean): void => {
    if (block.addsRows === true) {
      now -= left;
      left = 0;
    }
    if (sharding?.reducesOnce === true && !(isLast && !held.has(block))) {
      const whole = block.numbers * bytes.reduce;
      peak(block.numbers * bytes.compute + whole);
      if (!held.has(block)) now += whole;
      held.add(block);
      if (!isLast) return;
      // It is what is sent.
      now -= sending;
      sending = whole * sharding.copies;
      now += sending - whole;
    } else if (sharding !== undefined) {
      peak(trainedOf(block) * (bytes.compute + bytes.reduce * sharding.copies));
      now -= sending;
      sending = trainedOf(block) * bytes.reduce * sharding.copies;
      now += sending;
    }
    const sharded = block.trained ?? block.sharded ?? block.numbers;
    const shard = sharding === undefined ? trainedOf(block) : sharded / sharding.ranks;
    if (freesGradients) {
      peak(shard * bytes.own);
      return;
    }
    if (!have.has(block)) now += shard * bytes.own;
    have.add(block);
  };
  const leave = (tied: number): void => {
    const embedding = [...stages.values()].flat().find((one) => one.addsRows === true)!;
    // Without sharding it becomes the embedding's gradient itself.
    if (sharding === undefined ? have.has(embedding) : left > 0) return;
    now += tied;
    if (sharding === undefined && !freesGradients) have.add(embedding);
    else left = tied;
  };
  const run = {
    forward(blocks: readonly BlockMemory[], _isLast: boolean): void {
      for (const [i, block] of blocks.entries()) {
        const fetched = gathered(block, blocks[i + 1]);
        peak(fetched + block.forward);
        now += block.kept;
      }
    },
    backward(blocks: readonly BlockMemory[], isLast: boolean): void {
      for (const [i, block] of [...blocks.entries()].toReversed()) {
        if (block.passesGradient === false) continue;
        const below = blocks[i - 1];
        const fetched = gathered(block, below?.passesGradient === false ? undefined : below);
        // A weight's gradient is in the compute type until it is accumulated.
        const inPlace = block.addsRows === true && (left > 0 || (sharding === undefined && have.has(block)));
        peak(fetched + block.backward + (inPlace ? 0 : trainedOf(block) * bytes.compute));
        now -= block.kept;
        if (block.tied !== undefined) leave(block.tied);
        if (splitsBackward) now += block.waiting;
        else takeGradient(block, isLast);
      }
    },
    "weight-backward"(blocks: readonly BlockMemory[], isLast: boolean): void {
      for (const block of blocks.toReversed()) {
        if (block.passesGradient === false) continue;
        const inPlace = block.addsRows === true && (left > 0 || have.has(block));
        peak(gathered(block, undefined) + (inPlace ? 0 : trainedOf(block) * bytes.compute));
        now -= block.waiting;
        takeGradient(block, isLast);
      }
    },
  };
  const lastOf = new Map(actions.map(({ kind, stage }, i) => [`${kind} ${stage}`, i]));
  for (const [i, { kind, stage }] of actions.entries())
    run[kind](stages.get(stage)!, lastOf.get(`${kind} ${stage}`) === i);
  return most;
}

const trainedOf = ({ trained, numbers }: BlockMemory): number => trained ?? numbers;
