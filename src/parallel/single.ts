// One process: the strategy that does nothing. Also what the others build on where they change nothing.
import { gradientsOf, gradNorm } from "../optim/index.ts";
import type { Tensor } from "../torch/index.ts";
import {
  wholeParameters,
  type BlockSpec,
  type Pass,
  type Rows,
  type ShardPlace,
  type Strategy,
  type StrategyOptions,
} from "./strategy.ts";

export class Single implements Strategy {
  readonly full: ReadonlyMap<string, Tensor>;
  readonly rows: ReadonlyMap<string, Rows> = new Map();
  readonly place: ShardPlace = { index: 0, count: 1, replica: 0 };

  constructor(blocks: readonly BlockSpec[], options: StrategyOptions) {
    this.full = wholeParameters(blocks, options);
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
    return gradNorm(gradientsOf(this.full.values()));
  }
  gatherAll(): void {}
  release(): void {}
}
