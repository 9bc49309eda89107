// Data parallelism with replicas (DDP): every rank has all parameters and computes different rows; gradients are all-reduced.
// A block's are reduced while the blocks before it still compute, and only in a step's last micro-batch: until then each rank
// accumulates its own.
import { allReduce, allReduceCoalesced, type ProcessGroup, type Work } from "../../comm/index.ts";
import type { BlockSpec } from "../../nn/index.ts";
import { gradientsOf } from "../../optim/index.ts";
import { _foreachCopy_, cat, noGrad, scope, type Dtype, type Tensor, outlive } from "../../torch/index.ts";
import { Single } from "./single.ts";
import type { Pass, StrategyOptions } from "../strategy.ts";

interface InFlight {
  readonly work: Work<unknown>;
  /** In another dtype than the gradients': a copy that goes back into them. */
  readonly flat: Tensor | undefined;
  readonly block: number;
}

export class Replicate extends Single {
  /** The trainable parameters of each block. */
  readonly #blocks: readonly (readonly Tensor[])[];
  readonly #group: ProcessGroup;
  readonly #reduceDtype: Dtype;
  #last = true;
  #inFlight: InFlight[] = [];

  constructor(blocks: readonly BlockSpec[], group: ProcessGroup, options: StrategyOptions) {
    super(blocks, options, group.rank);
    this.#blocks = blocks.map(({ parameters }) =>
      [...parameters.keys()].flatMap((name) => this.trained.get(name) ?? []),
    );
    this.#group = group;
    this.#reduceDtype = options.reduceDtype ?? options.dtype;
  }

  override begin(pass: Pass): void {
    super.begin(pass);
    this.#last = pass.last;
  }

  override afterBackward(block: number): void {
    if (!this.#last) return;
    this.#startReduce(block);
    // Those of this block are on their way while the next one computes.
    if (this.onGradients !== undefined)
      while (this.#inFlight.length > 1) this.#finish(this.#inFlight.shift()!);
  }

  #startReduce(block: number): void {
    using temporaries = scope();
    void temporaries;
    const parameters = this.#blocks[block]!;
    for (const parameter of parameters) {
      const found = parameter.grad;
      if (found !== undefined && !found.isContiguous()) parameter.grad = noGrad(() => found.contiguous());
    }
    const gradients = gradientsOf(parameters);
    if (gradients.length === 0) return;
    const group = this.#group;
    if (gradients[0]!.dtype === this.#reduceDtype) {
      const work = allReduceCoalesced(gradients, { group, async: true });
      this.#inFlight.push({ work, flat: undefined, block });
      return;
    }
    const flat = noGrad(() => cat(gradients.map((one) => one.to(this.#reduceDtype).reshape([-1]))));
    const work = allReduce(outlive(flat), { group, async: true });
    this.#inFlight.push({ work, flat, block });
  }

  override finishGradients(): void {
    for (let next = this.#inFlight.shift(); next !== undefined; next = this.#inFlight.shift())
      this.#finish(next);
  }

  #finish({ work, flat, block }: InFlight): void {
    work.wait();
    if (flat !== undefined) {
      using temporaries = scope();
      void temporaries;
      const gradients = gradientsOf(this.#blocks[block]!);
      noGrad(() => {
        let at = 0;
        const parts = gradients.map((one) => {
          const part = flat.narrow(0, at, one.numel()).view(one.shape);
          at += one.numel();
          return part;
        });
        _foreachCopy_(gradients, parts);
      });
      flat.dispose();
    }
    this.onGradients?.(this.namesOf[block]!);
  }
}
