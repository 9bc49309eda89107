// GLM-4-0414: GLM with norms of what attention and feed-forward give beside those of their input.
import { flavor, type Family } from "./family.ts";
import { readGlm } from "./glm.ts";

export const glm4: Family = {
  modelType: "glm4",
  models: "GLM-4-0414",
  differs: "GLM with norms before and after each part",
  limits: [
    "PEFT: adapters of gate_proj and up_proj, which Transformers' fused layers don't have; `torchforge merge` takes them",
  ],
  read: (json) => ({
    ...readGlm(json),
    norms: {
      attentionIn: "input_layernorm",
      attentionOut: "post_self_attn_layernorm",
      feedForwardIn: "post_attention_layernorm",
      feedForwardOut: "post_mlp_layernorm",
    },
  }),
  flavors: {
    glm4: {
      "9B": flavor(4096, 40, 32, 2, 13696, 151552, { json: { head_dim: 128 } }),
      "32B": flavor(6144, 61, 48, 2, 23040, 151552, { json: { head_dim: 128, attention_bias: false } }),
    },
  },
};
