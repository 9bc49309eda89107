// A linear layer. How its product is made is decided here alone: by which fused operator, hence by which of the machine's
// libraries, in which type, and, where ranks have parts of the matrix, with what is gathered before and summed after it.
// Each product is recorded for a backward pass that is split (products.ts).
import { fused, zeros, type Dtype, type Tensor } from "../torch/index.ts";
import { castWeight } from "./cast.ts";
import { recordProduct } from "./products.ts";
import type { TensorRegion } from "./regions.ts";
import type { RMSNorm } from "./rms-norm.ts";

/** How products are made where the layer around them is. */
export interface ProductOptions {
  /** Where the weights are one rank's part of the matrices. */
  readonly region?: TensorRegion | undefined;
  /**
   * Norms and activations before a product are made again in backward, instead of kept. Default true: it costs about one pass
   * over memory and saves a third of it.
   */
  readonly recompute?: boolean | undefined;
}

export class Linear {
  /** [O, I]. */
  readonly weight: Tensor;
  /** [O]. */
  readonly bias: Tensor | undefined;

  constructor(weight: Tensor, bias?: Tensor) {
    this.weight = weight;
    this.bias = bias;
  }

  get parameters(): Tensor[] {
    return this.bias === undefined ? [this.weight] : [this.weight, this.bias];
  }

  /** The same layer with weights of another type, for mixed precision. */
  cast(dtype: Dtype): Linear {
    return new Linear(castWeight(this.weight, dtype), this.bias && castWeight(this.bias, dtype));
  }

  /** x: [T, I] to [T, O]. */
  forward(x: Tensor): Tensor {
    const output = this.product(x);
    recordProduct([output], this.parameters);
    return output;
  }

  /** The same, for whoever records products of several layers as one. */
  product(x: Tensor): Tensor {
    return fused.linear(x, this.weight, this.bias);
  }

  /** base + x @ Wᵀ + b. With a region x: [T, I / ranks] has this rank's columns, and base is its shard of the sequence. */
  addTo(base: Tensor, x: Tensor, { region }: ProductOptions): Tensor {
    const shifted = this.#shift(base);
    if (region !== undefined) {
      const own = fused.linear(x, this.weight);
      recordProduct([own], [this.weight]);
      return shifted.add(region.scatterSequence(own));
    }
    const output = fused.addLinear(shifted, x, this.weight);
    recordProduct([output], this.parameters);
    return output;
  }

  /** base + (silu(gate) * up) @ Wᵀ + b, the end of a SwiGLU feed-forward. With a region as `addTo`. */
  addSwigluTo(base: Tensor, gate: Tensor, up: Tensor, { region, recompute = true }: ProductOptions): Tensor {
    const shifted = this.#shift(base);
    if (region !== undefined) {
      // The operator that keeps gate and up alone adds to a base; here that comes after the sum over the ranks.
      const { dtype, device } = base;
      const none = zeros([1, 1], { dtype, device }).expand([gate.size(0), this.weight.size(0)]);
      const own = fused.swigluLinear(gate, up, this.weight, none);
      recordProduct([own], [this.weight]);
      return shifted.add(region.scatterSequence(own));
    }
    const output = recompute
      ? fused.swigluLinear(gate, up, this.weight, shifted)
      : fused.addLinear(shifted, fused.swiglu(gate, up), this.weight);
    recordProduct([output], this.parameters);
    return output;
  }

  #shift(base: Tensor): Tensor {
    return this.bias ? base.add(this.bias) : base;
  }
}

/**
 * Several layers' products of norm(x): [T, D] to [T, O] each. With a region x is a shard of the sequence of `tokens` tokens, and
 * the layers have some of the outputs each.
 */
export function normLinear(
  x: Tensor,
  norm: RMSNorm,
  layers: readonly Linear[],
  tokens: number,
  { region, recompute = true }: ProductOptions,
): Tensor[] {
  const outputs = recompute && region === undefined ? fusedNormLinear(x, norm, layers) : plain();
  recordProduct(
    outputs,
    layers.flatMap((one) => one.parameters),
  );
  return outputs;

  function plain(): Tensor[] {
    const normed = norm.forward(x);
    const whole = region?.gatherSequence(normed, tokens) ?? normed;
    return layers.map((one) => one.product(whole));
  }
}

function fusedNormLinear(x: Tensor, norm: RMSNorm, layers: readonly Linear[]): Tensor[] {
  const weights = layers.map(({ weight }) => weight);
  const biases = layers.flatMap(({ bias }) => bias ?? []);
  return fused.normLinear(x, norm.weight, weights, biases, norm.eps);
}
