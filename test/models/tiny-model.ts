// A tiny model folder, whole: config, tokenizer with a chat template, weights. For tests of programs and for a loss curve.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

import { saveWeights } from "../../src/checkpoint/index.ts";
import { Decoder, readModelConfig } from "../../src/models/index.ts";
import { arange, float64, noGrad, scope } from "../../src/torch/index.ts";
import { root } from "../programs.ts";

/** A model folder with values that need no random numbers, so that Python reads the same file. */
export function makeTinyModel(folder: string): void {
  const { tokenizer, config } = JSON.parse(
    gunzipSync(readFileSync(join(root, "test", "fixtures", "data", "qwen-style.json.gz"))).toString(),
  ) as { tokenizer: object; config: object };
  const chat_template =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  mkdirSync(folder, { recursive: true });
  const write = (name: string, value: object) =>
    writeFileSync(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
  write("tokenizer.json", tokenizer);
  write("tokenizer_config.json", { ...config, chat_template });
  write("generation_config.json", { eos_token_id: [1502, 1500] });
  write("config.json", {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: 1536,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    hidden_act: "silu",
    eos_token_id: 1502,
  });
  using _ = scope();
  const model = new Decoder(readModelConfig(folder));
  noGrad(() => {
    let seed = 1;
    for (const [name, parameter] of model.parameters) {
      if (name.includes("norm")) parameter.fill_(1);
      // Spread like random numbers: the fractional part of multiples of the golden ratio, in float64 until the end.
      else {
        const values = arange(parameter.numel(), { dtype: float64 }).add(seed).mul(0.6180339887498949).frac();
        parameter.copy_(values.sub(0.5).mul(0.2).view(parameter.shape));
      }
      seed += 1_000_003;
    }
  });
  saveWeights(folder, model.parameters);
}
