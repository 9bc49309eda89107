// The feed-forward of a layer with experts: a router gives each token to some of them, and their results are added up by the
// router's weights. Tokens are sorted by expert, so that each expert's are multiplied together; none is dropped. Where the
// experts are divided among processes, an exchange takes the sorted rows there and back.
// Source: Jiang et al. 2024 (Mixtral), https://arxiv.org/abs/2401.04088; load balancing: Fedus et al. 2021 (Switch
// Transformer), https://arxiv.org/abs/2101.03961, equations 4 to 6, over all layers as Transformers' load_balancing_loss_func.
import {
  argsort,
  float32,
  float64,
  fromArray,
  fused,
  int64,
  noGrad,
  ones,
  softmax,
  topk,
  zeros,
  type Dtype,
  type Tensor,
} from "../torch/index.ts";
import { castWeight } from "./cast.ts";
import type { FeedForward } from "./feed-forward.ts";
import type { FeedForwardOptions, Routing } from "./feed-forward-options.ts";
import type { Linear } from "./linear.ts";
import { recordProduct } from "./products.ts";
import type { ExpertChoice, ExpertExchange, TensorRegion } from "./regions.ts";
import type { Residual } from "./residual.ts";
import type { RMSNorm } from "./rms-norm.ts";
import type { StackedExperts } from "./stacked-experts.ts";

export interface RouterConfig {
  readonly numExperts: number;
  readonly expertsPerToken: number;
  /** Whether a token's weights are made to sum to 1. */
  readonly normTopkProb: boolean;
  /** What experts are scored by: softmax over all of them, or each by itself. Default: softmax. */
  readonly scores?: "softmax" | "sigmoid";
  /** A token goes to experts of the best `chosen` of `count` groups alone; a group is as good as its best two experts. */
  readonly groups?: { readonly count: number; readonly chosen: number } | undefined;
  /** What the weights of a token's experts are multiplied by. Default 1. */
  readonly weightScale?: number;
}

export interface MoEParts {
  readonly norm?: RMSNorm | undefined;
  readonly residual: Residual;
  /** [E, D]. */
  readonly router: Linear;
  /** Of this process's experts: [I, D] each. */
  readonly gate: readonly Tensor[];
  readonly up: readonly Tensor[];
  /** [D, I] each. */
  readonly down: readonly Tensor[];
  /** In place of gate, up and down, which are then empty: all experts in one. */
  readonly stacked?: StackedExperts | undefined;
  /** Added to scores where experts are chosen: [E]. */
  readonly correction?: Tensor | undefined;
  /** The feed-forward that every token goes to as well, and what a sigmoid weighs it by: [1, D]. */
  readonly shared?: FeedForward | undefined;
  readonly sharedGate?: Linear | undefined;
}

export interface MoERegions {
  /** Where each rank has a part of every expert, or the experts are whole and get its shard of the sequence. */
  readonly region?: TensorRegion | undefined;
  /** Where this process has some of the experts. */
  readonly exchange?: ExpertExchange | undefined;
}

/** Mixture of experts. */
export class MoE {
  readonly #parts: MoEParts;
  readonly #config: RouterConfig;
  readonly #regions: MoERegions;

  constructor(parts: MoEParts, config: RouterConfig, regions: MoERegions = {}) {
    this.#parts = parts;
    this.#config = config;
    this.#regions = regions;
  }

  get parameters(): Tensor[] {
    const { norm, router, gate, up, down, residual, correction, shared, sharedGate, stacked } = this.#parts;
    const parts = [norm, router, shared, sharedGate, stacked, residual].flatMap(
      (part) => part?.parameters ?? [],
    );
    return [...parts, ...gate, ...up, ...down, ...(correction === undefined ? [] : [correction])];
  }

  cast(dtype: Dtype): MoE {
    const { norm, router, gate, up, down, residual, correction, shared, sharedGate, stacked } = this.#parts;
    // Scores by themselves are close to each other: they are computed in float32 (Transformers keeps it, too).
    const isWide = this.#config.scores === "sigmoid" && this.#parts.router.weight.dtype === float32;
    const all = (weights: readonly Tensor[]) => weights.map((one) => castWeight(one, dtype));
    const parts = {
      norm: norm?.cast(dtype),
      router: isWide ? router.cast(float32) : router.cast(dtype),
      gate: all(gate),
      up: all(up),
      down: all(down),
      residual: residual.cast(dtype),
      correction: correction && castWeight(correction, isWide ? float32 : dtype),
      shared: shared?.cast(dtype),
      sharedGate: sharedGate?.cast(dtype),
      stacked: stacked?.cast(dtype),
    };
    return new MoE(parts, this.#config, this.#regions);
  }

  /** x + what the experts make of it: [T, D]. */
  addTo(x: Tensor, options: FeedForwardOptions): Tensor {
    const { norm, residual, shared } = this.#parts;
    const normed = norm?.forward(x) ?? x;
    const mixed = this.#mix(normed, options);
    const made = shared === undefined ? mixed : this.#addShared(shared, mixed, normed, options);
    return residual.add(x, (base) => base.add(made));
  }

  #addShared(shared: FeedForward, mixed: Tensor, normed: Tensor, options: FeedForwardOptions): Tensor {
    const gate = this.#parts.sharedGate;
    if (gate === undefined) return shared.into(mixed, normed, options);
    const { dtype, device } = mixed;
    const own = shared.into(zeros(mixed.shape, { dtype, device }), normed, options);
    return mixed.add(own.mul(gate.forward(normed).sigmoid()));
  }

  /** Normalized rows of this rank's shard to the same. */
  #mix(normed: Tensor, { tokens, onRouting, real }: FeedForwardOptions): Tensor {
    const { region } = this.#regions;
    if (region === undefined) return this.#run(normed, onRouting, real);
    // Experts in one tensor are every rank's: each takes its own tokens.
    if (region.wholeExperts || this.#parts.stacked !== undefined) {
      const run = (rows: Tensor, from: number): Tensor =>
        this.#run(rows, onRouting, real?.narrow(0, from, rows.size(0)));
      return region.onShard(normed, tokens, run);
    }
    return region.scatterSequence(this.#run(region.gatherSequence(normed, tokens), onRouting, real));
  }

  /** Normalized rows to what their experts make of them: [R, D]. */
  #run(normed: Tensor, onRouting: FeedForwardOptions["onRouting"], real: FeedForwardOptions["real"]): Tensor {
    const { router, correction } = this.#parts;
    const logits = router.forward(normed.to(router.weight.dtype));
    const { choice, routing } = route(logits, this.#config, real, correction);
    onRouting?.(routing());
    const run = (rows: Tensor, chosen: ExpertChoice): Tensor => this.#runExperts(rows, chosen);
    return this.#regions.exchange?.run(normed, choice, run) ?? run(normed, choice);
  }

  #runExperts(rows: Tensor, { order, weights, counts }: ExpertChoice): Tensor {
    const { gate, up, down, stacked } = this.#parts;
    if (stacked !== undefined) return stacked.run(rows, { order, weights, counts });
    const made = fused.expertMlp(rows, order, weights, counts, gate, up, down);
    recordProduct([made], [...gate, ...up, ...down]);
    return made;
  }
}

/** So that a sum of nothing is no divisor; it changes no other sum. */
const tiny = 1e-20;

/**
 * Router logits [T, E] to the choice of experts, with what the balancing loss needs.
 * @param real where some tokens pad a row: false for those, [T]
 */
function route(
  logits: Tensor,
  config: RouterConfig,
  real?: Tensor,
  correction?: Tensor,
): { choice: ExpertChoice; routing: () => Routing } {
  const { numExperts, expertsPerToken, normTopkProb, scores = "softmax", groups, weightScale = 1 } = config;
  const wide = logits.dtype === float64 ? float64 : float32;
  const probabilities = scores === "softmax" ? softmax(logits, -1, wide) : logits.to(wide).sigmoid();
  const experts = noGrad(() => {
    const corrected = correction === undefined ? probabilities : probabilities.add(correction);
    return topk(inBestGroups(corrected, groups), expertsPerToken, -1)[1];
  });
  const most = probabilities.gather(1, experts);
  const shares = normTopkProb ? most.div(most.sum([-1], { keepdim: true }).add(tiny)) : most;
  const weights = weightScale === 1 ? shares : shares.mul(weightScale);
  return noGrad(() => {
    const flat = experts.flatten();
    const counts = countsOf(flat, numExperts);
    const routing = (): Routing => {
      const at = real?.nonzero().flatten();
      const of = (rows: Tensor): Tensor => (at === undefined ? rows : rows.indexSelect(0, at));
      const own = at === undefined ? counts : countsOf(of(experts).flatten(), numExperts);
      return { counts: own.to(logits.device), probabilities: of(probabilities).sum([0]) };
    };
    return { choice: { order: argsort(flat, { stable: true }), weights, counts }, routing };
  });
}

/** Scores [T, E], with those of other groups than the best ones at minus infinity. */
function inBestGroups(scores: Tensor, groups: RouterConfig["groups"]): Tensor {
  if (groups === undefined || groups.count === groups.chosen) return scores;
  const { count, chosen } = groups;
  const [tokens, numExperts] = scores.shape as [number, number];
  const size = numExperts / count;
  const byGroup = scores.view([tokens, count, size]);
  const quality = topk(byGroup, Math.min(2, size), -1)[0].sum([-1]);
  const best = topk(quality, chosen, -1)[1];
  const isOther = ones([tokens, count], { dtype: float32, device: scores.device }).scatter(1, best, 0).gt(0);
  return byGroup.maskedFill(isOther.unsqueeze(2), Number.NEGATIVE_INFINITY).view([tokens, numExperts]);
}

/** How often each expert was chosen: [E]. Without values (device meta) all are as often, and that has values. */
function countsOf(experts: Tensor, numExperts: number): Tensor {
  if (experts.device.type !== "meta") return experts.bincount(null, numExperts);
  const pairs = experts.size(0);
  const each = (expert: number): number =>
    Math.floor(((expert + 1) * pairs) / numExperts) - Math.floor((expert * pairs) / numExperts);
  return fromArray(
    Array.from({ length: numExperts }, (_, expert) => each(expert)),
    { dtype: int64 },
  );
}

/** What the balancing loss needs to know of a model. */
export interface BalanceConfig {
  readonly numExperts: number;
  /** Weight of the loss; 0: none. */
  readonly auxLossCoef: number;
  /** Which layers have experts. */
  readonly layers: readonly boolean[];
}

/**
 * The load-balancing loss of all layers' routers: coefficient x E x Σ f p over the experts, where f is the share of tokens
 * that an expert got and p its mean probability, both over the tokens of all layers. f counts, and has no gradient: so the
 * part of some layers, or of some tokens, needs the counts of all and its own probabilities alone.
 * @param routings of which this is the part
 * @param counts tokens that each expert got in all layers: [E], int64
 * @param tokens of the micro-batch
 * @param weight of this loss beside those of other micro-batches
 * @returns the part times `weight`, a scalar, and its gradient with respect to each layer's `probabilities`: [E]
 */
export function balancingLoss(
  routings: readonly Routing[],
  { numExperts, auxLossCoef, layers }: BalanceConfig,
  { counts, tokens, weight }: { counts: Tensor; tokens: number; weight: number },
): { loss: Tensor; gradient: Tensor } {
  return noGrad(() => {
    const probabilities = routings.map((one) => one.probabilities).reduce((all, one) => all.add(one));
    const all = layers.filter(Boolean).length * tokens;
    const factor = (weight * auxLossCoef * numExperts) / all ** 2;
    const gradient = counts.to(probabilities.dtype).mul(factor);
    return { loss: gradient.mul(probabilities).sum(), gradient };
  });
}
