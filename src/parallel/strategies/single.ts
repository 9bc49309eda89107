// One process: the strategy that does nothing. Also what the others build on where they change nothing.
import { gradientsOf, gradNorm } from "../../optim/index.ts";
import type { BlockSpec, ShardSlice } from "../../nn/index.ts";
import type { Tensor } from "../../torch/index.ts";
import {
  chosen,
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
  /** Names of each block's trained parameters. */
  protected readonly namesOf: readonly (readonly string[])[];
  protected onGradients: Pass["onGradients"];

  /** @param replica this rank's number among those that all have the whole model */
  constructor(blocks: readonly BlockSpec[], options: StrategyOptions, replica = 0) {
    this.full = wholeParameters(blocks, options);
    ({ trained: this.trained, saved: this.saved } = trainedAndSaved(blocks, this.full));
    this.namesOf = blocks.map(({ parameters }) =>
      [...parameters.keys()].filter((name) => this.trained.has(name)),
    );
    this.ownership = { index: 0, count: 1, replica, saved: namesToSave(blocks, this.slices) };
  }

  get parameters(): ReadonlyMap<string, Tensor> {
    return this.full;
  }

  begin({ onGradients }: Pass): void {
    this.onGradients = onGradients;
  }
  beforeForward(_block: number): void {}
  afterForward(_block: number): void {}
  beforeBackward(_block: number): void {}
  afterBackward(block: number): void {
    this.onGradients?.(this.namesOf[block]!);
  }
  finishGradients(): void {}
  gradNorm(names?: readonly string[]): number {
    return gradNorm(gradientsOf(chosen(this.trained, names)));
  }
  gatherAll(): void {}
  release(): void {}
}
