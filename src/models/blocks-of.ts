// The declaration of a decoder's parameters, block by block, from its configuration.
import { blockOf, parameter, parametersOf, type BlockSpec, type ParameterSpec } from "../nn/index.ts";
import { mixtureNames } from "./mixture.ts";
import type { ModelConfig } from "./model-config.ts";

const embeddingName = "model.embed_tokens.weight";

/** The blocks in the order in which the training step runs them: embedding, layers, head. */
export function blockSpecs(config: ModelConfig): BlockSpec[] {
  const { hiddenSize: d, vocabSize: v } = config;
  const vocabulary = { split: "vocabulary" } as const;
  const embedding = parameter(embeddingName, [v, d], vocabulary);
  const norm = parameter("model.norm.weight", [d], { init: "ones" });
  const head = parameter("lm_head.weight", [v, d], vocabulary);
  return [
    blockOf([embedding], { valuesInBackward: false }),
    ...Array.from({ length: config.numLayers }, (_, layer) => blockOf(layerParameters(config, layer))),
    config.tieEmbeddings
      ? blockOf([norm], { tied: [{ ...head, tiedTo: embeddingName }] })
      : blockOf([norm, head]),
  ];
}

/** Every parameter by its Hugging Face name, in the order of the model; tied ones are not among them. */
export function parameterSpecs(config: ModelConfig): Map<string, ParameterSpec> {
  return parametersOf(blockSpecs(config));
}

/** Shapes of what a checkpoint of the whole model holds, by name, in order. */
export function savedShapes(config: ModelConfig): Map<string, readonly number[]> {
  const saved = [...parameterSpecs(config).values()].filter((spec) => spec.saved);
  return new Map(saved.map(({ name, shape }) => [name, shape]));
}

function layerParameters(config: ModelConfig, layer: number): ParameterSpec[] {
  const { hiddenSize: d, intermediateSize: i, headDim, numHeads, numKvHeads } = config;
  const q = numHeads * headDim;
  const kv = numKvHeads * headDim;
  const specs: ParameterSpec[] = [];
  const add = (name: string, shape: readonly number[], more: Parameters<typeof parameter>[2] = {}): void => {
    specs.push(parameter(`model.layers.${layer}.${name}`, shape, more));
  };
  const norm = (name: string, size: number): void => add(`${name}.weight`, [size], { init: "ones" });
  /** A matrix [outputs, inputs], and its bias. That of a row layer is added once, after the sum over the ranks. */
  const linear = (
    name: string,
    [outputs, inputs]: readonly [number, number],
    split: "column" | "row",
    bias: boolean,
  ): void => {
    add(`${name}.weight`, [outputs, inputs], { split });
    if (bias)
      add(`${name}.bias`, [outputs], { init: "zeros", split: split === "column" ? "column" : "none" });
  };

  norm("input_layernorm", d);
  linear("self_attn.q_proj", [q, d], "column", config.qkvBias);
  linear("self_attn.k_proj", [kv, d], "column", config.qkvBias);
  linear("self_attn.v_proj", [kv, d], "column", config.qkvBias);
  if (config.qkNorm) {
    norm("self_attn.q_norm", headDim);
    norm("self_attn.k_norm", headDim);
  }
  linear("self_attn.o_proj", [d, q], "row", config.outputBias);
  norm("post_attention_layernorm", d);
  const { mixture } = config;
  if (mixture?.layers[layer] !== true) {
    linear("mlp.gate_proj", [i, d], "column", config.mlpBias);
    linear("mlp.up_proj", [i, d], "column", config.mlpBias);
    linear("mlp.down_proj", [d, i], "row", config.mlpBias);
    return specs;
  }
  const { numExperts: count, intermediateSize } = mixture;
  const { router, gate, up, down } = mixtureNames(config);
  add(router, [count, d]);
  const experts = (name: (expert: number) => string, shape: readonly number[], split: "column" | "row") => {
    for (let index = 0; index < count; index++) add(name(index), shape, { split, expert: { index, count } });
  };
  experts(gate, [intermediateSize, d], "column");
  experts(up, [intermediateSize, d], "column");
  experts(down, [d, intermediateSize], "row");
  return specs;
}
