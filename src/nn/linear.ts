// A linear layer. How its product is made is decided here alone: by which fused operator, hence by which of the machine's
// libraries, in which type, and, where ranks have parts of the matrix, with what is gathered before and summed after it.
// A quantized matrix becomes numbers a part at a time, in the type of what it is multiplied with.
// Each product is recorded for a backward pass that is split (products.ts).
import { cat, fused, noGrad, zeros, type Dtype, type Tensor } from "../torch/index.ts";
import { castWeight } from "./cast.ts";
import type { DropoutMasks } from "./dropout.ts";
import type { BaseMatrix, LowRank } from "./low-rank.ts";
import { recordProduct } from "./products.ts";
import type { TensorRegion } from "./regions.ts";
import type { RMSNorm } from "./rms-norm.ts";
import type { QuantizedFormat } from "./storage-format.ts";

/** How products are made where the layer around them is. */
export interface ProductOptions {
  /** Where the weights are one rank's part of the matrices. */
  readonly region?: TensorRegion | undefined;
  /**
   * Norms and activations before a product are made again in backward, instead of kept. Default true: it costs about one pass
   * over memory and saves a third of it.
   */
  readonly recompute?: boolean | undefined;
  /** In training: which elements adapters drop of their inputs. */
  readonly masks?: DropoutMasks | undefined;
}

export class Linear implements BaseMatrix {
  /** [O, I], or as `format` stores that. */
  readonly weight: Tensor;
  /** [O]. */
  readonly bias: Tensor | undefined;
  readonly adapter: LowRank | undefined;
  /** How a frozen matrix is quantized; undefined: it isn't. */
  readonly format: QuantizedFormat | undefined;

  constructor(weight: Tensor, bias?: Tensor, adapter?: LowRank, format?: QuantizedFormat) {
    this.weight = weight;
    this.bias = bias;
    this.adapter = adapter;
    this.format = format;
  }

  get parameters(): Tensor[] {
    return [...this.own, ...(this.adapter?.parameters ?? [])];
  }

  /** Without the adapter's: those whose products are recorded. The adapter's are too small to be worth a pass of their own. */
  get own(): Tensor[] {
    return this.bias === undefined ? [this.weight] : [this.weight, this.bias];
  }

  /** The same layer with weights of another type, for mixed precision. */
  cast(dtype: Dtype): Linear {
    const bias = this.bias && castWeight(this.bias, dtype);
    const weight = this.format === undefined ? castWeight(this.weight, dtype) : this.weight;
    return new Linear(weight, bias, this.adapter?.cast(dtype), this.format);
  }

  /** x: [T, I] to [T, O]. */
  forward(x: Tensor): Tensor {
    const output = this.product(x);
    recordProduct([output], this.own);
    return output;
  }

  /** x @ Wᵀ, or x @ Wᵀ + b. */
  times(x: Tensor, bias?: Tensor): Tensor {
    const { format, weight } = this;
    if (format === undefined) return fused.linear(x, weight, bias);
    const product = fused.quantizedLinear(x, weight, format.name);
    return bias === undefined ? product : product.add(bias);
  }

  /** The matrix as numbers: of `dtype` where it is quantized. */
  matrix(inputs: number, dtype: Dtype): Tensor {
    const { format, weight } = this;
    return format === undefined ? weight : noGrad(() => fused.dequantize(weight, format.name, inputs, dtype));
  }

  /** The same as `forward`, for whoever records products of several layers as one. */
  product(x: Tensor, masks?: DropoutMasks): Tensor {
    const { adapter, bias } = this;
    if (adapter === undefined) return this.times(x, bias);
    if (adapter.isAdditive) return adapter.adapt(this.times(x, bias), x, this, { masks });
    const adapted = adapter.adapt(this.times(x), x, this, { masks });
    return bias === undefined ? adapted : adapted.add(bias);
  }

  /** base + x @ Wᵀ + b. With a region x: [T, I / ranks] has this rank's columns, and base is its shard of the sequence. */
  addTo(base: Tensor, x: Tensor, { region, masks }: ProductOptions): Tensor {
    const { adapter, weight } = this;
    const shifted = this.#shift(base);
    if (region !== undefined || adapter?.isAdditive === false || this.format !== undefined) {
      const own = this.times(x);
      recordProduct([own], [weight]);
      const adapted = adapter?.adapt(own, x, this, { masks, region }) ?? own;
      return shifted.add(region?.scatterSequence(adapted) ?? adapted);
    }
    const output = fused.addLinear(shifted, x, weight);
    recordProduct([output], this.own);
    return adapter?.adapt(output, x, this, { masks }) ?? output;
  }

  /** base + (silu(gate) * up) @ Wᵀ + b, the end of a SwiGLU feed-forward. With a region as `addTo`. */
  addSwigluTo(base: Tensor, gate: Tensor, up: Tensor, options: ProductOptions): Tensor {
    const { region, recompute = true, masks } = options;
    const { adapter, weight } = this;
    const isApart = adapter !== undefined && (!recompute || !adapter.isAdditive || adapter.drops(masks));
    if (isApart || this.format !== undefined) return this.addTo(base, fused.swiglu(gate, up), options);
    const shifted = this.#shift(base);
    if (region !== undefined) {
      const own = swigluProduct(gate, up, weight);
      recordProduct([own], [weight]);
      const adapted = adapter?.addHidden(own, swigluProduct(gate, up, adapter.a)) ?? own;
      return shifted.add(region.scatterSequence(adapted));
    }
    const output = recompute
      ? fused.swigluLinear(gate, up, weight, shifted)
      : fused.addLinear(shifted, fused.swiglu(gate, up), weight);
    recordProduct([output], this.own);
    return adapter?.addHidden(output, swigluProduct(gate, up, adapter.a)) ?? output;
  }

  #shift(base: Tensor): Tensor {
    return this.bias ? base.add(this.bias) : base;
  }
}

/** (silu(gate) * up) @ Wᵀ. The operator that keeps gate and up alone adds to a base. */
function swigluProduct(gate: Tensor, up: Tensor, weight: Tensor): Tensor {
  const { dtype, device } = gate;
  const none = zeros([1, 1], { dtype, device }).expand([gate.size(0), weight.size(0)]);
  return fused.swigluLinear(gate, up, weight, none);
}

/**
 * Several layers' products of norm(x), or of x itself: [T, D] to [T, O] each. With a region x is a shard of the sequence of `tokens` tokens, and
 * the layers have some of the outputs each.
 */
export function normLinear(
  x: Tensor,
  norm: RMSNorm | undefined,
  layers: readonly Linear[],
  tokens: number,
  { region, recompute = true, masks }: ProductOptions,
): Tensor[] {
  const adapters = layers.flatMap(({ adapter }) => adapter ?? []);
  const isPlain = layers.every(({ format }) => format === undefined);
  const fusible = recompute && region === undefined && norm?.fuses === true && isPlain ? norm : undefined;
  if (fusible && adapters.length > 0 && adapters.every((one) => one.isAdditive && !one.drops(masks)))
    return fusedAdapted(x, fusible, layers, adapters);
  const outputs = fusible && adapters.length === 0 ? fusedNormLinear(x, fusible, layers) : plain();
  recordProduct(
    outputs,
    layers.flatMap((one) => one.own),
  );
  return outputs;

  function plain(): Tensor[] {
    const normed = norm?.forward(x) ?? x;
    const whole = region?.gatherSequence(normed, tokens) ?? normed;
    return layers.map((one) => one.product(whole, masks));
  }
}

function fusedNormLinear(x: Tensor, norm: RMSNorm, layers: readonly Linear[]): Tensor[] {
  const weights = layers.map(({ weight }) => weight);
  const biases = layers.flatMap(({ bias }) => bias ?? []);
  return fused.normLinear(x, norm.scale, weights, biases, norm.eps);
}

/** The adapters' first matrices are one more product of the same input. */
function fusedAdapted(
  x: Tensor,
  norm: RMSNorm,
  layers: readonly Linear[],
  adapters: readonly LowRank[],
): Tensor[] {
  const { dtype, device } = x;
  const weights = layers.map(({ weight }) => weight);
  const first = cat(adapters.map(({ a }) => a));
  const has = layers.some(({ bias }) => bias !== undefined);
  const biasOf = ({ bias, weight }: Pick<Linear, "bias" | "weight">): Tensor =>
    bias ?? zeros([weight.size(0)], { dtype, device });
  const biases = has ? [...layers.map(biasOf), zeros([first.size(0)], { dtype, device })] : [];
  const products = fused.normLinear(x, norm.scale, [...weights, first], biases, norm.eps);
  const hidden = products.pop()!;
  recordProduct(
    products,
    layers.flatMap((one) => one.own),
  );
  let at = 0;
  return layers.map(({ adapter }, i) => {
    if (adapter === undefined) return products[i]!;
    const rank = adapter.a.size(0);
    const own = hidden.narrow(1, at, rank);
    at += rank;
    return adapter.addHidden(products[i]!, own);
  });
}
