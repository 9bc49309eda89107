// The parameters of a pre-norm decoder with grouped-query attention and a gated feed-forward or experts, block by block, as
// Hugging Face names them. The switches of ModelConfig say which there are; a family that differs declares its own.
import { blockOf, parameter, type BlockSpec, type ParameterSpec } from "../nn/index.ts";
import type { ModelConfig, MoeConfig } from "./families/index.ts";

const embeddingName = "model.embed_tokens.weight";

/** The blocks in the order in which the training step runs them: embedding, layers, head. */
export function decoderBlocks(config: ModelConfig): BlockSpec[] {
  const { hiddenSize: d, vocabSize: v } = config;
  const embedding = parameter(embeddingName, [v, d], { split: "vocabulary" });
  const norm = parameter("model.norm.weight", [d], { init: "ones" });
  const head = parameter("lm_head.weight", [v, d], { split: "vocabulary" });
  return [
    blockOf([embedding], { valuesInBackward: false }),
    ...Array.from({ length: config.numLayers }, (_, layer) => blockOf(layerParameters(config, layer))),
    config.tieEmbeddings
      ? blockOf([norm], { tied: [{ ...head, tiedTo: embeddingName }] })
      : blockOf([norm, head]),
  ];
}

function layerParameters(config: ModelConfig, layer: number): ParameterSpec[] {
  const { hiddenSize: d, intermediateSize: i, headDim, numHeads, numKvHeads, moe } = config;
  const q = numHeads * headDim;
  const kv = numKvHeads * headDim;
  const prefix = `model.layers.${layer}`;
  const norm = (name: string, size: number): ParameterSpec =>
    parameter(`${prefix}.${name}.weight`, [size], { init: "ones" });
  /** A matrix of [outputs, inputs] and perhaps its bias: that of a row layer is added once, after the sum over the ranks. */
  const linear = (
    name: string,
    shape: readonly [outputs: number, inputs: number],
    split: "column" | "row",
    bias: boolean,
  ): ParameterSpec[] => {
    const weight = parameter(`${prefix}.${name}.weight`, shape, { split });
    const biasSplit = split === "column" ? "column" : "none";
    return bias
      ? [weight, parameter(`${prefix}.${name}.bias`, [shape[0]], { init: "zeros", split: biasSplit })]
      : [weight];
  };
  return [
    norm("input_layernorm", d),
    ...linear("self_attn.q_proj", [q, d], "column", config.qkvBias),
    ...linear("self_attn.k_proj", [kv, d], "column", config.qkvBias),
    ...linear("self_attn.v_proj", [kv, d], "column", config.qkvBias),
    ...(config.qkNorm ? [norm("self_attn.q_norm", headDim), norm("self_attn.k_norm", headDim)] : []),
    ...linear("self_attn.o_proj", [d, q], "row", config.outputBias),
    norm("post_attention_layernorm", d),
    ...(moe?.layers[layer] === true
      ? experts(prefix, d, moe)
      : [
          ...linear("mlp.gate_proj", [i, d], "column", config.mlpBias),
          ...linear("mlp.up_proj", [i, d], "column", config.mlpBias),
          ...linear("mlp.down_proj", [d, i], "row", config.mlpBias),
        ]),
  ];
}

/** The router, then the gates of all experts, then what they have of the others. */
function experts(prefix: string, d: number, { numExperts: count, intermediateSize: i, names }: MoeConfig) {
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
  ];
}
