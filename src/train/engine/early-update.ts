// The optimizer's update during backward: each block's as soon as its gradients are complete, which then are freed, so that no
// two blocks have gradients at once. The norm of all gradients is known only at the end; so each block's are clipped by their
// own norm. Source: Lv et al. 2023 (LOMO), https://arxiv.org/abs/2306.09782; torchtune's optimizer_in_bwd.
import { clipCoefficient, type Optimizer } from "../../optim/index.ts";
import type { Strategy } from "../../parallel/index.ts";
import { scope } from "../../torch/index.ts";

/** Of an update: learning rate, and the norm that gradients are scaled down to. */
export interface UpdateNumbers {
  readonly lr: number;
  readonly maxNorm: number;
}

export class EarlyUpdate {
  readonly #strategy: Strategy;
  readonly #optimizer: Optimizer;
  readonly #numbers: UpdateNumbers;
  #squares = 0;
  /** How many blocks were updated. From the first gradient on that isn't finite none is. */
  updated = 0;

  constructor(parts: { strategy: Strategy; optimizer: Optimizer }, numbers: UpdateNumbers) {
    this.#strategy = parts.strategy;
    this.#optimizer = parts.optimizer;
    this.#numbers = numbers;
  }

  /** The 2-norm of all gradients so far. */
  get norm(): number {
    return Math.sqrt(this.#squares);
  }

  /** Updates these parameters, and drops their gradients. Every rank calls it with the same ones. */
  take(names: readonly string[]): void {
    using _ = scope();
    const { trained } = this.#strategy;
    const norm = this.#strategy.gradNorm(names);
    this.#squares += norm * norm;
    const { lr, maxNorm } = this.#numbers;
    if (Number.isFinite(this.#squares)) {
      const gradients = new Map(
        names.flatMap((name) => {
          const gradient = trained.get(name)?.grad;
          return gradient === undefined ? [] : [[name, gradient] as const];
        }),
      );
      this.#optimizer.step(lr, { gradients, gradScale: clipCoefficient(norm, maxNorm) });
      this.updated++;
    }
    for (const name of names) {
      const parameter = trained.get(name);
      if (parameter !== undefined) parameter.grad = undefined;
    }
  }
}
