// The feed-forward of a layer with experts: a router gives each token to some of them, and their results are added up by the
// router's weights. Tokens are sorted by expert, so that each expert's are multiplied together; none is dropped. Where the
// experts are divided among processes, an exchange (parallel/expert-exchange.ts) takes the sorted rows there and back.
// Source: Jiang et al. 2024 (Mixtral), https://arxiv.org/abs/2401.04088; load balancing: Fedus et al. 2021 (Switch
// Transformer), https://arxiv.org/abs/2101.03961, equations 4 to 6, over all layers as Transformers' load_balancing_loss_func.
import type { ExpertExchange } from "../parallel/index.ts";
import {
  argsort,
  call,
  float32,
  float64,
  fromArray,
  int64,
  noGrad,
  softmax,
  topk,
  type Tensor,
} from "../torch/index.ts";
import type { MixtureConfig, ModelConfig } from "./model-config.ts";

/** What the balancing loss needs of a layer's router: of this process's tokens, without those that pad a row. */
export interface Routing {
  /** Tokens that each expert got: [E], int64. */
  readonly counts: Tensor;
  /** Sum over the tokens of the probabilities: [E], with its graph. */
  readonly probabilities: Tensor;
}

/** Names of the parameters of a layer's mixture, behind `model.layers.N.`. */
export function mixtureNames({ family }: Pick<ModelConfig, "family">) {
  const isMixtral = family === "mixtral";
  const module = isMixtral ? "block_sparse_moe" : "mlp";
  const [gate, up, down] = isMixtral ? ["w1", "w3", "w2"] : ["gate_proj", "up_proj", "down_proj"];
  const of = (part: string) => (expert: number) => `${module}.experts.${expert}.${part}.weight`;
  return { router: `${module}.gate.weight`, gate: of(gate), up: of(up), down: of(down) };
}

export interface MixtureWeights {
  /** [E, D]. */
  readonly router: Tensor;
  /** Of this process's experts: [I, D] each. */
  readonly gate: readonly Tensor[];
  readonly up: readonly Tensor[];
  /** [D, I] each. */
  readonly down: readonly Tensor[];
}

/** Which experts the tokens go to. */
export interface Choice {
  /** Pairs of token and choice (token * k + choice), sorted by expert: [T * k], int64. */
  readonly order: Tensor;
  /** [T, k]. */
  readonly weights: Tensor;
  /** Pairs of each expert: [E], int64. */
  readonly counts: Tensor;
}

/**
 * Router logits [T, E] to the choice of experts, with what the balancing loss needs.
 * @param real where some tokens pad a row: false for those, [T]
 */
export function route(
  logits: Tensor,
  { numExperts, expertsPerToken, normalizes }: MixtureConfig,
  real?: Tensor,
): { choice: Choice; routing: () => Routing } {
  const wide = logits.dtype === float64 ? float64 : float32;
  const probabilities = softmax(logits, -1, wide);
  const [most, experts] = topk(probabilities, expertsPerToken, -1);
  const weights = normalizes ? most.div(most.sum([-1], { keepdim: true })) : most;
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

/**
 * The experts' results, added up for each token: [T, D] to [T, D].
 * @param onMade sees what this process's experts gave
 */
export function runExperts(
  x: Tensor,
  { order, weights, counts }: Choice,
  experts: MixtureWeights,
  exchange: ExpertExchange | undefined,
  onMade?: (made: Tensor) => void,
): Tensor {
  const run = (rows: Tensor, at: Tensor, by: Tensor, of: Tensor): Tensor => {
    const made = call("forge::expert_mlp", rows, at, by, of, experts.gate, experts.up, experts.down);
    onMade?.(made);
    return made;
  };
  return exchange === undefined
    ? run(x, order, weights, counts)
    : exchange.run(x, { order, weights, counts }, run);
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
  { numExperts, balanceCoefficient, layers }: MixtureConfig,
  { counts, tokens, weight }: { counts: Tensor; tokens: number; weight: number },
): { loss: Tensor; gradient: Tensor } {
  return noGrad(() => {
    const probabilities = routings.map((one) => one.probabilities).reduce((all, one) => all.add(one));
    const all = layers.filter(Boolean).length * tokens;
    const factor = (weight * balanceCoefficient * numExperts) / all ** 2;
    const gradient = counts.to(probabilities.dtype).mul(factor);
    return { loss: gradient.mul(probabilities).sum(), gradient };
  });
}
