// The parameters of a decoder with grouped-query attention and a gated feed-forward or experts, block by block, as Hugging Face
// names them. The switches of ModelConfig say which there are; a family that differs declares its own.
import {
  blockOf,
  mapParameters,
  parameter,
  type BlockSpec,
  type FilePlace,
  type ParameterSpec,
} from "../nn/index.ts";
import type {
  JoinedMatrices,
  LatentConfig,
  ModelConfig,
  MoeConfig,
  MoeNames,
  TextTower,
} from "./families/index.ts";

const embeddingName = "model.embed_tokens.weight";

/** The blocks in the order in which the training step runs them: embedding, layers, head. */
export function decoderBlocks(config: ModelConfig): BlockSpec[] {
  const { tower } = config;
  const blocks = ownBlocks(config);
  return tower === undefined
    ? blocks
    : blocks.map((block) => mapParameters(block, (one) => inTower(one, tower)));
}

/** The parameter, with the name that it has in files of a model of which this is a part. */
function inTower(one: ParameterSpec, { prefix, head }: TextTower): ParameterSpec {
  const rows = one.shape[0]!;
  const { into, ...range } = one.inFile ?? { into: one.name, start: 0, rows, of: rows };
  return {
    ...one,
    inFile: { into: into.replace(/^model\./, prefix).replace(/^lm_head\./, head), ...range },
  };
}

function ownBlocks(config: ModelConfig): BlockSpec[] {
  const { hiddenSize: d, vocabSize: v } = config;
  const embedding = parameter(embeddingName, [v, d], { split: "vocabulary" });
  const norm = parameter("model.norm.weight", [d], { init: normInit(config) });
  const head = parameter("lm_head.weight", [v, d], { split: "vocabulary" });
  const passedOver = Array.from(
    { length: config.layersBeyond ?? 0 },
    (_, i) => `model.layers.${config.numLayers + i}.`,
  );
  return [
    blockOf([embedding], { valuesInBackward: false }),
    ...Array.from({ length: config.numLayers }, (_, layer) => blockOf(layerParameters(config, layer))),
    config.tieEmbeddings
      ? blockOf([norm], { tied: [{ ...head, tiedTo: embeddingName }], passedOver })
      : blockOf([norm, head], { passedOver }),
  ];
}

/** Norms scale by 1 in the beginning. */
const normInit = ({ normOffset }: ModelConfig): "ones" | "zeros" => (normOffset === 1 ? "zeros" : "ones");

function layerParameters(config: ModelConfig, layer: number): ParameterSpec[] {
  const { hiddenSize: d, intermediateSize: i, headDim, numHeads, numKvHeads, moe, norms } = config;
  const q = numHeads * headDim;
  const kv = numKvHeads * headDim;
  const prefix = `model.layers.${layer}`;
  const norm = (name: string | undefined, size: number, split: "column" | "none" = "none"): ParameterSpec[] =>
    name === undefined
      ? []
      : [parameter(`${prefix}.${name}.weight`, [size], { init: normInit(config), split })];
  /** Of all heads: each rank has those of its own. */
  const headNorm = (name: string, size: number): ParameterSpec[] =>
    config.qkNormWhole ? norm(name, size, "column") : norm(name, headDim);
  /** A matrix of [outputs, inputs] and perhaps its bias: that of a row layer is added once, after the sum over the ranks. */
  const linear = (
    name: string,
    shape: readonly [outputs: number, inputs: number],
    split: "column" | "row" | "none",
    bias: boolean,
  ): ParameterSpec[] => {
    const weight = parameter(`${prefix}.${name}.weight`, shape, { split });
    const biasSplit = split === "column" ? "column" : "none";
    return bias
      ? [weight, parameter(`${prefix}.${name}.bias`, [shape[0]], { init: "zeros", split: biasSplit })]
      : [weight];
  };
  const attention = (): ParameterSpec[] => [
    ...linear("self_attn.q_proj", [q, d], "column", config.qkvBias),
    ...linear("self_attn.k_proj", [kv, d], "column", config.qkvBias),
    ...linear("self_attn.v_proj", [kv, d], "column", config.qkvBias),
    ...(config.qkNorm ? [...headNorm("self_attn.q_norm", q), ...headNorm("self_attn.k_norm", kv)] : []),
    ...(config.hasSinks === true
      ? [parameter(`${prefix}.self_attn.sinks`, [numHeads], { split: "column" })]
      : []),
    ...linear("self_attn.o_proj", [d, q], "row", config.outputBias),
  ];
  const latentAttention = (latent: LatentConfig): ParameterSpec[] => {
    const { queryRank, keyValueRank, ropeDim, valueDim, bias } = latent;
    return [
      ...(queryRank === undefined
        ? linear("self_attn.q_proj", [q, d], "column", false)
        : [
            ...linear("self_attn.q_a_proj", [queryRank, d], "none", bias),
            ...norm("self_attn.q_a_layernorm", queryRank),
            ...linear("self_attn.q_b_proj", [q, queryRank], "column", false),
          ]),
      ...linear("self_attn.kv_a_proj_with_mqa", [keyValueRank + ropeDim, d], "none", bias),
      ...norm("self_attn.kv_a_layernorm", keyValueRank),
      ...linear(
        "self_attn.kv_b_proj",
        [numHeads * (headDim - ropeDim + valueDim), keyValueRank],
        "column",
        false,
      ),
      ...linear("self_attn.o_proj", [d, numHeads * valueDim], "row", config.outputBias),
    ];
  };
  return placed(config.joined, prefix, [
    ...norm(norms.attentionIn, d),
    ...(config.latent === undefined ? attention() : latentAttention(config.latent)),
    ...norm(norms.attentionOut, d),
    ...norm(norms.feedForwardIn, d),
    ...(moe?.layers[layer] === true
      ? moe.stacked === undefined
        ? experts(prefix, d, moe)
        : stackedExperts(prefix, d, moe)
      : [
          ...linear("mlp.gate_proj", [i, d], "column", config.mlpBias),
          ...linear("mlp.up_proj", [i, d], "column", config.mlpBias),
          ...linear("mlp.down_proj", [d, i], "row", config.mlpBias),
        ]),
    ...norm(norms.feedForwardOut, d),
  ]);
}

/** The parameters, with those marked that files hold as rows of a larger matrix. */
function placed(
  joined: readonly JoinedMatrices[],
  prefix: string,
  parameters: readonly ParameterSpec[],
): ParameterSpec[] {
  const places = new Map<string, FilePlace>();
  for (const { into, parts } of joined) {
    for (const kind of ["weight", "bias"]) {
      const own = parts.flatMap((part) =>
        parameters.filter(({ name }) => name === `${prefix}.${part}.${kind}`),
      );
      const of = own.reduce((sum, { shape }) => sum + shape[0]!, 0);
      let start = 0;
      for (const { name, shape } of own) {
        places.set(name, { into: `${prefix}.${into}.${kind}`, start, rows: shape[0]!, of });
        start += shape[0]!;
      }
    }
  }
  return parameters.map((one) => {
    const inFile = places.get(one.name);
    return inFile === undefined ? one : { ...one, inFile };
  });
}

/** The router, then the gates of all experts, what they have of the others, and the feed-forward of all tokens. */
function experts(
  prefix: string,
  d: number,
  { numExperts: count, intermediateSize: i, names, shared }: MoeConfig,
) {
  const all = Array.from({ length: count }, (_, index) => ({ index, count }));
  const matrices = (name: string, shape: readonly number[], split: "column" | "row"): ParameterSpec[] =>
    all.map((expert) =>
      parameter(`${prefix}.${names.experts}.${expert.index}.${name}.weight`, shape, { split, expert }),
    );
  return [
    parameter(`${prefix}.${names.router}.weight`, [count, d]),
    ...matrices(names.gate, [i, d], "column"),
    ...matrices(names.up, [i, d], "column"),
    ...matrices(names.down, [d, i], "row"),
    ...(names.correction === undefined
      ? []
      : [
          parameter(`${prefix}.${names.correction}`, [count], {
            init: "zeros",
            trainable: false,
            decay: false,
          }),
        ]),
    ...(shared === undefined ? [] : sharedParameters(prefix, d, shared.intermediateSize, names)),
  ];
}

function stackedExperts(
  prefix: string,
  d: number,
  { numExperts: count, intermediateSize: i, names }: MoeConfig,
): ParameterSpec[] {
  const all = (name: string, shape: readonly number[], init: "normal" | "zeros"): ParameterSpec =>
    parameter(`${prefix}.${names.experts}.${name}`, [count, ...shape], { init, stackedExperts: count });
  return [
    parameter(`${prefix}.${names.router}.weight`, [count, d]),
    parameter(`${prefix}.${names.router}.bias`, [count], { init: "zeros" }),
    all("gate_up_proj", [d, 2 * i], "normal"),
    all("gate_up_proj_bias", [2 * i], "zeros"),
    all("down_proj", [i, d], "normal"),
    all("down_proj_bias", [d], "zeros"),
  ];
}

function sharedParameters(prefix: string, d: number, size: number, names: MoeNames): ParameterSpec[] {
  const weight = (name: string, shape: readonly number[], split: "column" | "row" | "none"): ParameterSpec =>
    parameter(`${prefix}.${name}.weight`, shape, { split });
  return [
    weight(`${names.shared}.gate_proj`, [size, d], "column"),
    weight(`${names.shared}.up_proj`, [size, d], "column"),
    weight(`${names.shared}.down_proj`, [d, size], "row"),
    ...(names.sharedGate === undefined ? [] : [weight(names.sharedGate, [1, d], "none")]),
  ];
}
