// The feed-forward of a decoder layer: a gated one (Shazeer 2020, https://arxiv.org/abs/2002.05202) behind a norm or before
// one. moe.ts has the one with experts.
import type { Dtype, Tensor } from "../torch/index.ts";
import { gated, type Activation } from "./activation.ts";
import type { FeedForwardOptions } from "./feed-forward-options.ts";
import { normLinear, type Linear } from "./linear.ts";
import type { TensorRegion } from "./regions.ts";
import type { Residual } from "./residual.ts";
import type { RMSNorm } from "./rms-norm.ts";

export interface FeedForwardParts {
  readonly norm?: RMSNorm | undefined;
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
  readonly activation: Activation;
  readonly residual: Residual;
}

export class FeedForward {
  readonly #parts: FeedForwardParts;
  readonly #region: TensorRegion | undefined;

  constructor(parts: FeedForwardParts, region?: TensorRegion) {
    this.#parts = parts;
    this.#region = region;
  }

  get parameters(): Tensor[] {
    const { norm, gate, up, down, residual } = this.#parts;
    return [norm, gate, up, down, residual].flatMap((part) => part?.parameters ?? []);
  }

  cast(dtype: Dtype): FeedForward {
    const { norm, gate, up, down, activation, residual } = this.#parts;
    const parts = {
      norm: norm?.cast(dtype),
      gate: gate.cast(dtype),
      up: up.cast(dtype),
      down: down.cast(dtype),
      activation,
      residual: residual.cast(dtype),
    };
    return new FeedForward(parts, this.#region);
  }

  /** x + the feed-forward of it: [T, D]. */
  addTo(x: Tensor, options: FeedForwardOptions): Tensor {
    return this.into(x, x, options);
  }

  /** base + the feed-forward of x: [T, D]. */
  into(to: Tensor, x: Tensor, { tokens, recompute, masks }: FeedForwardOptions): Tensor {
    const { norm, gate, up, down, activation, residual } = this.#parts;
    const options = { region: this.#region, recompute, masks };
    const [opened, raised] = normLinear(x, norm, [gate, up], tokens, options) as [Tensor, Tensor];
    return residual.add(to, (base) =>
      activation === "silu"
        ? down.addSwigluTo(base, opened, raised, options)
        : down.addTo(base, gated(activation, opened, raised), options),
    );
  }
}
