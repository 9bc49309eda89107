// One optimizer step: forward and backward over the micro-batches, gradients and losses summed over the ranks, the norm,
// the update. Knows no configuration, no data and no step number; those are the trainer's.
import type { Batch } from "../../data/index.ts";
import type { Decoder } from "../../models/index.ts";
import { mixSeeds } from "../../nn/index.ts";
import { clipCoefficient, type Optimizer } from "../../optim/index.ts";
import { Pipeline, type ContextRegion, type Ranks, type Strategy } from "../../parallel/index.ts";
import { scope } from "../../torch/index.ts";
import { toMicroBatch, withDropout } from "./micro-batch.ts";
import { EarlyUpdate, type UpdateNumbers } from "./early-update.ts";
import { PipelineRun } from "./pipeline-step.ts";
import { forwardBackward, forwardLoss, type StepOptions } from "./step.ts";

export interface Gradients {
  /** Mean token loss over all micro-batches of all ranks. */
  readonly loss: number;
  /** This rank's share of it; the stages of a pipeline have the same. */
  readonly ownLoss: number;
  /** Global 2-norm, before clipping. */
  readonly norm: number;
  /** The blocks that were updated during backward; undefined: `apply` updates all. */
  readonly updated?: number | undefined;
}

export interface UpdateParts {
  readonly model: Decoder;
  readonly strategy: Strategy;
  readonly optimizer: Optimizer;
  readonly ranks: Ranks;
  /** The ranks among which rows are sharded; undefined: each has whole rows. */
  readonly context?: ContextRegion | undefined;
  readonly options: StepOptions;
  /** Blocks are updated during backward, each as soon as its gradients are complete (`optimizer.in_backward`). */
  readonly inBackward?: boolean | undefined;
}

export class Update {
  readonly #parts: UpdateParts;
  readonly #pipeline: PipelineRun | undefined;

  constructor(parts: UpdateParts) {
    this.#parts = parts;
    const { model, strategy, context, options } = parts;
    if (strategy instanceof Pipeline)
      this.#pipeline = new PipelineRun({ model, pipeline: strategy, context, options });
  }

  /**
   * Computes the gradients of the mean token loss into `.grad` of the strategy's trained parameters. Every rank calls it.
   * @param trained trained tokens of all micro-batches of all ranks, over which the mean is
   * @param numbers of the update: with `inBackward` blocks are then updated on the way, and have no gradients left
   * @param dropoutSeed of the step; undefined: adapters drop nothing
   */
  gradients(
    batches: readonly Batch[],
    trained: number,
    numbers?: UpdateNumbers,
    dropoutSeed?: number,
  ): Gradients {
    const { strategy, ranks, inBackward = false } = this.#parts;
    using _ = scope();
    const scale = 1 / Math.max(1, trained);
    const early = inBackward && numbers !== undefined ? new EarlyUpdate(this.#parts, numbers) : undefined;
    // Ranks with the same tokens draw the same masks, as they must where each computes a part of a layer.
    const seed =
      dropoutSeed === undefined
        ? undefined
        : mixSeeds(dropoutSeed, ranks.data.rank, this.#parts.context?.rank ?? 0);
    const ownLoss =
      this.#pipeline?.gradients(batches, scale, seed) ?? this.#passes(batches, scale, seed, early);
    strategy.finishGradients();
    const norm = early?.norm ?? strategy.gradNorm();
    const [loss] = ranks.sum([ownLoss]) as [number];
    return { loss, ownLoss, norm, updated: early?.updated };
  }

  #passes(
    batches: readonly Batch[],
    scale: number,
    seed: number | undefined,
    early: EarlyUpdate | undefined,
  ): number {
    const { model, strategy, context, options } = this.#parts;
    const onGradients = early && ((names: readonly string[]) => early.take(names));
    let ownLoss = 0;
    for (const [i, batch] of batches.entries()) {
      using _ = scope();
      const micro = withDropout(toMicroBatch(batch, model.device, context), seed, i);
      const last = i === batches.length - 1;
      ownLoss += forwardBackward(model, micro, scale, options, { hooks: strategy, last, onGradients }).item();
    }
    return ownLoss;
  }

  /**
   * The sum of a batch's token losses, of this rank's chunks where rows are sharded, without gradients. Every rank that shares the
   * model with others calls it.
   * @param mostRows that a batch of any rank may have, where they can differ
   */
  lossOf(batch: Batch, mostRows = 0): number {
    if (this.#pipeline !== undefined) return this.#pipeline.loss(batch, mostRows);
    const { model, strategy, context } = this.#parts;
    using _ = scope();
    return forwardLoss(model, toMicroBatch(batch, model.device, context), strategy).item();
  }

  /** Changes the parameters by these gradients, clipped, and drops them; nothing where they were used during backward. */
  apply({ norm, updated }: Pick<Gradients, "norm" | "updated">, { lr, maxNorm }: UpdateNumbers): void {
    if (updated !== undefined) return;
    using _ = scope();
    this.#parts.optimizer.step(lr, { gradScale: clipCoefficient(norm, maxNorm) });
    this.drop();
  }

  /** Drops the gradients. */
  drop(): void {
    for (const parameter of this.#parts.strategy.trained.values()) parameter.grad = undefined;
  }
}
