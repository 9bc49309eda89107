// The configuration of a flavor without a config.json: its sizes, and what the checkpoints of that name have beside. For
// measuring models that aren't here; what is trained is read from config.json.
import { UserError } from "../util/index.ts";
import { flavors, numbersOf } from "./flavors.ts";
import { parseModelConfig, type ModelConfig } from "./model-config.ts";

/** Those whose head is the embedding. */
const tied = new Set([
  "llama3 1B",
  "llama3 3B",
  "smollm2 135M",
  "smollm2 360M",
  "smollm2 1.7B",
  "qwen2 0.5B",
  "qwen2 1.5B",
  "qwen2 3B",
  "qwen3 0.6B",
  "qwen3 1.7B",
  "qwen3 4B",
]);

/** What config.json of a family's checkpoints says otherwise than Transformers' defaults, which a key left out stands for. */
const beside: Readonly<Record<string, object>> = {
  qwen3_moe: { head_dim: 128, norm_topk_prob: true },
};

/** config.json of a flavor, as far as it matters here. @throws UserError where there is no such flavor */
export function flavorJson(name: string, flavor: string): Record<string, unknown> {
  const family = flavors[name];
  const shape = family?.flavors[flavor];
  if (family === undefined || shape === undefined)
    throw new UserError(
      `model.name and model.flavor: expected one of ${Object.entries(flavors)
        .flatMap(([known, { flavors: each }]) => Object.keys(each).map((one) => `${known} ${one}`))
        .join(", ")}; found ${name} ${flavor}`,
      { exitCode: 2 },
    );
  return {
    model_type: family.family,
    ...Object.fromEntries(numbersOf(shape).filter(([, number]) => number !== undefined)),
    vocab_size: shape.vocabSize,
    tie_word_embeddings: tied.has(`${name} ${flavor}`),
    max_position_embeddings: 131_072,
    ...beside[family.family],
  };
}

/** @throws UserError where there is no such flavor */
export function modelOfFlavor(name: string, flavor: string): ModelConfig {
  return parseModelConfig(flavorJson(name, flavor), `${name} ${flavor}`);
}
