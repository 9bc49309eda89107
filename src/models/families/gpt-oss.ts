// gpt-oss: attention sinks, a sliding window in every other layer, experts in one tensor with biases and a bounded gate.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { readMoe } from "./moe-config.ts";
import { slidingWhere } from "./sliding-window.ts";

/** What Transformers takes without rope_parameters. */
const rope = {
  rope_type: "yarn",
  factor: 32,
  beta_fast: 32,
  beta_slow: 1,
  truncate: false,
  original_max_position_embeddings: 4096,
};

export const gptOss: Family = {
  modelType: "gpt_oss",
  models: "gpt-oss",
  differs: "attention sinks, windows by layer, YaRN; experts with biases and a bounded gate",
  limits: [
    "context parallelism: its scores have sinks",
    "expert parallelism: all experts lie in one tensor; FSDP divides it",
    "adapters of experts",
  ],
  read(json) {
    const hasRope = json.value("rope_parameters") ?? json.value("rope_scaling");
    const filled = json.with({ rope_parameters: hasRope ?? rope });
    const config = readDecoder(filled, {
      kvHeads: 8,
      headDim: 64,
      maxPositions: 131_072,
      normEps: 1e-5,
      ropeTheta: 150_000,
    });
    const { numLayers, intermediateSize } = config;
    const bias = json.flag("attention_bias", true);
    return {
      ...config,
      ...slidingWhere(json, numLayers, 128, (layer) => layer % 2 === 0),
      qkvBias: bias,
      outputBias: bias,
      hasSinks: true,
      moe: readMoe(json, ["num_local_experts", 128], 4, {
        intermediateSize,
        normTopkProb: true,
        layers: Array.from({ length: numLayers }, () => true),
        stacked: { alpha: json.number("swiglu_alpha", 1.702), limit: json.number("swiglu_limit", 7) },
        names: { router: "mlp.router", experts: "mlp.experts", gate: "", up: "", down: "" },
      }),
    };
  },
  flavors: {
    gpt_oss: {
      "20B": flavor(2880, 24, 64, 8, 2880, 201088, {
        moe: { numExperts: 32, expertsPerToken: 4, intermediateSize: 2880 },
        json: { num_local_experts: 32 },
      }),
      "120B": flavor(2880, 36, 64, 8, 2880, 201088, {
        moe: { numExperts: 128, expertsPerToken: 4, intermediateSize: 2880 },
        json: { num_local_experts: 128 },
      }),
    },
  },
};
