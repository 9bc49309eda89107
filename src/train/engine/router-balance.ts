// The balancing loss of the routers of layers with experts, in a step. It is a product of means over all layers and all tokens of a
// micro-batch, of which one factor, how many tokens each expert got, has no gradient: so counts alone are gathered, from layer
// to layer, from stage to stage, over the ranks with other tokens, and each layer's part of the loss is then its own. What a
// layer's backward does with the gradient is block-run.ts's.
import type { Decoder } from "../../models/index.ts";
import { balancingLoss, type Routing } from "../../nn/index.ts";
import { int64, scope, zeros, type Tensor } from "../../torch/index.ts";
import type { MicroBatch } from "./micro-batch.ts";

/** The loss of some layers, times its weight, and its gradient with respect to each one's `probabilities`. */
export type Balance = ReturnType<typeof balancingLoss>;

/** A layer that ran. */
interface Routed {
  readonly routing: Routing | undefined;
}

export class RouterBalance {
  readonly #model: Decoder;

  constructor(model: Decoder) {
    this.#model = model;
  }

  /** Whether config.json asks for it. */
  get isOn(): boolean {
    return (this.#model.config.moe?.auxLossCoef ?? 0) > 0;
  }

  /** Those of no layer: [E], int64. */
  makeCounts(): Tensor {
    const { config, device } = this.#model;
    return zeros([config.moe!.numExperts], { dtype: int64, device });
  }

  /** How many of this process's tokens each expert got in these layers, added to `before`: [E]; undefined where it is off. */
  countsOf(layers: readonly Routed[], before?: Tensor): Tensor | undefined {
    if (!this.isOn) return undefined;
    using s = scope();
    const own = layers.flatMap(({ routing }) => routing?.counts ?? []);
    return s.keep(own.reduce((sum, one) => sum.add(one), before ?? this.makeCounts()));
  }

  /** In place, to those of all processes that have tokens of the micro-batch, which all call it. */
  sumCounts(counts: Tensor, batch: MicroBatch): Tensor {
    batch.shard?.sum(counts);
    return this.#routesApart ? this.#model.region!.reduce(counts, "sum") : counts;
  }

  /** Whether the ranks of a tensor group route a shard of the tokens each; else they route the same. */
  get #routesApart(): boolean {
    const { region, config } = this.#model;
    return region !== undefined && (region.wholeExperts || config.moe?.stacked !== undefined);
  }

  /**
   * The part of these layers, and of this process's tokens. A micro-batch counts as much as it has trained tokens.
   * @param counts of all layers, after sumCounts
   */
  lossOf(
    layers: readonly Routed[],
    batch: MicroBatch,
    { counts, scale }: { counts: Tensor | undefined; scale: number },
  ): Balance | undefined {
    const routings = layers.flatMap(({ routing }) => routing ?? []);
    if (routings.length === 0 || counts === undefined) return undefined;
    const { config, region } = this.#model;
    const weight = scale * batch.trainedTokens;
    const tokens = batch.realTokens;
    const { loss, gradient } = balancingLoss(routings, config.moe!, { counts, tokens, weight });
    if (region === undefined) return { loss, gradient };
    // Losses of a tensor group aren't added up, and gradients of routers are.
    return this.#routesApart
      ? { loss: region.reduce(loss, "sum"), gradient }
      : { loss, gradient: gradient.div(region.size) };
  }
}
