// One process: the strategy that does nothing. Also what the others build on where they change nothing.
import { gradientsOf, gradNorm } from "../../optim/index.ts";
import type { BlockSpec, ShardSlice } from "../../nn/index.ts";
import type { Tensor } from "../../torch/index.ts";
import {
  namesToSave,
  trainedAndSaved,
  wholeParameters,
  type Pass,
  type ShardOwnership,
  type Strategy,
  type StrategyOptions,
} from "../strategy.ts";

export class Single implements Strategy {
  readonly full: ReadonlyMap<string, Tensor>;
  readonly trained: ReadonlyMap<string, Tensor>;
  readonly saved: ReadonlyMap<string, Tensor>;
  readonly slices: ReadonlyMap<string, ShardSlice> = new Map();
  readonly ownership: ShardOwnership;

  /** @param replica this rank's number among those that all have the whole model */
  constructor(blocks: readonly BlockSpec[], options: StrategyOptions, replica = 0) {
    this.full = wholeParameters(blocks, options);
    ({ trained: this.trained, saved: this.saved } = trainedAndSaved(blocks, this.full));
    this.ownership = { index: 0, count: 1, replica, saved: namesToSave(blocks, this.slices) };
  }

  get parameters(): ReadonlyMap<string, Tensor> {
    return this.full;
  }

  begin(_pass: Pass): void {}
  beforeForward(_block: number): void {}
  afterForward(_block: number): void {}
  beforeBackward(_block: number): void {}
  afterBackward(_block: number): void {}
  finishGradients(): void {}
  gradNorm(): number {
    return gradNorm(gradientsOf(this.trained.values()));
  }
  gatherAll(): void {}
  release(): void {}
}
