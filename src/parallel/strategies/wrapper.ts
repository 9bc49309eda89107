// What a strategy that divides a model further leaves to the one inside it: tensor and pipeline parallelism wrap the strategy
// that divides their part of the model by data parallelism.
import type { ExpertExchange } from "../experts/expert-exchange.ts";
import type { Tensor } from "../../torch/index.ts";
import type { Pass, Strategy } from "../strategy.ts";

export abstract class StrategyWrapper {
  protected readonly inner: Strategy;

  constructor(inner: Strategy) {
    this.inner = inner;
  }

  get full(): ReadonlyMap<string, Tensor> {
    return this.inner.full;
  }
  get parameters(): ReadonlyMap<string, Tensor> {
    return this.inner.parameters;
  }
  get trained(): ReadonlyMap<string, Tensor> {
    return this.inner.trained;
  }
  get saved(): ReadonlyMap<string, Tensor> {
    return this.inner.saved;
  }
  get exchange(): ExpertExchange | undefined {
    return this.inner.exchange;
  }

  /** A block's number in the inner strategy. */
  protected innerBlock(block: number): number {
    return block;
  }

  begin(pass: Pass): void {
    this.inner.begin(pass);
  }
  beforeForward(block: number): void {
    this.inner.beforeForward(this.innerBlock(block));
  }
  afterForward(block: number): void {
    this.inner.afterForward(this.innerBlock(block));
  }
  beforeBackward(block: number): void {
    this.inner.beforeBackward(this.innerBlock(block));
  }
  afterBackward(block: number): void {
    this.inner.afterBackward(this.innerBlock(block));
  }

  gatherAll(): void {
    this.inner.gatherAll();
  }
  release(): void {
    this.inner.release();
  }
}
