// A model folder, a data set and a configuration small enough to train a step in a blink, made from nothing but fixtures:
// a Llama of two layers with seeded random weights, a real tokenizer, and the Alpaca rows of the repository.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";

import { saveWeights } from "../../src/checkpoint/index.ts";
import { Decoder, parseModelConfig } from "../../src/models/index.ts";
import { manualSeed, scope } from "../../src/torch/index.ts";

const root = resolve(import.meta.dirname, "..", "..");

const chatTemplate =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/** Tokens 0 to here of SmolLM2's 49,152: each merge makes the next token, so that the first of them are a tokenizer, too. */
const vocabulary = 4096;

const modelConfig = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: vocabulary,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  torch_dtype: "float32",
};

/** Changes that make it a mixture of experts: Qwen3-MoE's, whose routers' balance is trained, too. */
export const tinyExperts = {
  architectures: ["Qwen3MoeForCausalLM"],
  model_type: "qwen3_moe",
  head_dim: 8,
  num_experts: 4,
  num_experts_per_tok: 2,
  moe_intermediate_size: 12,
  norm_topk_prob: true,
  output_router_logits: true,
  router_aux_loss_coef: 0.01,
};

interface Tokenizer {
  model: { vocab: Record<string, number>; merges: [string, string][] };
}

/** Makes the folder, with the beginning of SmolLM2's tokenizer: reading the whole takes a process longer than a short run. */
export function writeTokenizer(folder: string, template: string): void {
  mkdirSync(folder, { recursive: true });
  const fixture = gunzipSync(readFileSync(join(root, "test", "fixtures", "data", "smollm2.json.gz")));
  const { tokenizer, config } = JSON.parse(fixture.toString()) as { tokenizer: Tokenizer; config: object };
  const { vocab, merges } = tokenizer.model;
  tokenizer.model.vocab = Object.fromEntries(Object.entries(vocab).filter(([, id]) => id < vocabulary));
  tokenizer.model.merges = merges.filter((pair) => vocab[pair.join("")]! < vocabulary);
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  writeFileSync(
    join(folder, "tokenizer_config.json"),
    JSON.stringify({ ...config, chat_template: template }),
  );
}

/** Makes the model folder; `changes` are those of its config.json. */
export function makeTinyModel(folder: string, changes: Readonly<Record<string, unknown>> = {}): string {
  writeTokenizer(folder, chatTemplate);
  const json = { ...modelConfig, ...changes };
  writeFileSync(join(folder, "config.json"), JSON.stringify(json));
  using _ = scope();
  manualSeed(11);
  const model = new Decoder(parseModelConfig(json, "config.json"));
  model.initialize();
  saveWeights(folder, model.parameters);
  return folder;
}

/** Writes the configuration of a short run on it as YAML. Returns the path. */
export function makeTinyConfig(folder: string, model: string, steps: number): string {
  const path = join(folder, "tiny.yaml");
  const config = {
    job: { dump_folder: join(folder, "outputs"), name: "run" },
    model: { hf_assets_path: model },
    optimizer: { lr: 1e-3 },
    lr_scheduler: { warmup_steps: 2, decay_type: "cosine" },
    training: {
      local_batch_size: 2,
      global_batch_size: 4,
      seq_len: 128,
      steps,
      seed: 3,
      datasets: [{ path: join(root, "data", "alpaca-python.jsonl") }],
    },
    checkpoint: { interval: 3, last_save_in_hf: false, last_save_model_only: false },
  };
  writeFileSync(path, JSON.stringify(config, null, 2));
  return path;
}
