// Families and flavors by the names of the guide: `llama3` `8B`. They name shapes; config.json of the model folder
// decides, and a name that says otherwise is an error.
import { UserError } from "../util/index.ts";
import type { MixtureConfig, ModelConfig } from "./model-config.ts";

type Shape = Pick<
  ModelConfig,
  "hiddenSize" | "numLayers" | "numHeads" | "numKvHeads" | "intermediateSize" | "vocabSize"
>;
/** Of a mixture of experts also what its experts are. */
type Experts = Pick<MixtureConfig, "numExperts" | "expertsPerToken" | "intermediateSize">;

const shape = (
  hiddenSize: number,
  numLayers: number,
  numHeads: number,
  numKvHeads: number,
  intermediateSize: number,
  vocabSize: number,
): Shape => ({ hiddenSize, numLayers, numHeads, numKvHeads, intermediateSize, vocabSize });

/** The family's model_type in config.json, and its sizes. */
export const flavors: Record<
  string,
  { family: ModelConfig["family"]; flavors: Record<string, Shape & { mixture?: Experts }> }
> = {
  llama2: {
    family: "llama",
    flavors: {
      debugmodel: shape(256, 6, 16, 16, 768, 2048),
      "7B": shape(4096, 32, 32, 32, 11008, 32000),
      "13B": shape(5120, 40, 40, 40, 13824, 32000),
      "70B": shape(8192, 80, 64, 8, 28672, 32000),
    },
  },
  llama3: {
    family: "llama",
    flavors: {
      debugmodel: shape(256, 6, 16, 16, 768, 2048),
      "1B": shape(2048, 16, 32, 8, 8192, 128256),
      "3B": shape(3072, 28, 24, 8, 8192, 128256),
      "8B": shape(4096, 32, 32, 8, 14336, 128256),
      "70B": shape(8192, 80, 64, 8, 28672, 128256),
      "405B": shape(16384, 126, 128, 8, 53248, 128256),
    },
  },
  smollm2: {
    family: "llama",
    flavors: {
      "135M": shape(576, 30, 9, 3, 1536, 49152),
      "360M": shape(960, 32, 15, 5, 2560, 49152),
      "1.7B": shape(2048, 24, 32, 32, 8192, 49152),
    },
  },
  mistral: { family: "mistral", flavors: { "7B": shape(4096, 32, 32, 8, 14336, 32000) } },
  mixtral: {
    family: "mixtral",
    flavors: {
      "8x7B": {
        ...shape(4096, 32, 32, 8, 14336, 32000),
        mixture: { numExperts: 8, expertsPerToken: 2, intermediateSize: 14336 },
      },
      "8x22B": {
        ...shape(6144, 56, 48, 8, 16384, 32768),
        mixture: { numExperts: 8, expertsPerToken: 2, intermediateSize: 16384 },
      },
    },
  },
  qwen2: {
    family: "qwen2",
    flavors: {
      "0.5B": shape(896, 24, 14, 2, 4864, 151936),
      "1.5B": shape(1536, 28, 12, 2, 8960, 151936),
      "3B": shape(2048, 36, 16, 2, 11008, 151936),
      "7B": shape(3584, 28, 28, 4, 18944, 152064),
      "14B": shape(5120, 48, 40, 8, 13824, 152064),
      "32B": shape(5120, 64, 40, 8, 27648, 152064),
      "72B": shape(8192, 80, 64, 8, 29568, 152064),
    },
  },
  qwen3: {
    family: "qwen3",
    flavors: {
      "0.6B": shape(1024, 28, 16, 8, 3072, 151936),
      "1.7B": shape(2048, 28, 16, 8, 6144, 151936),
      "4B": shape(2560, 36, 32, 8, 9728, 151936),
      "8B": shape(4096, 36, 32, 8, 12288, 151936),
      "14B": shape(5120, 40, 40, 8, 17408, 151936),
      "32B": shape(5120, 64, 64, 8, 25600, 151936),
    },
  },
  qwen3_moe: {
    family: "qwen3_moe",
    flavors: {
      "30B-A3B": {
        ...shape(2048, 48, 32, 4, 6144, 151936),
        mixture: { numExperts: 128, expertsPerToken: 8, intermediateSize: 768 },
      },
      "235B-A22B": {
        ...shape(4096, 94, 64, 4, 12288, 151936),
        mixture: { numExperts: 128, expertsPerToken: 8, intermediateSize: 1536 },
      },
    },
  },
};

/** The numbers of a shape under the names of config.json; the vocabulary may differ: people add tokens. */
export function numbersOf(of: Shape & { mixture?: Experts | undefined }): [string, number | undefined][] {
  return [
    ["hidden_size", of.hiddenSize],
    ["num_hidden_layers", of.numLayers],
    ["num_attention_heads", of.numHeads],
    ["num_key_value_heads", of.numKvHeads],
    ["intermediate_size", of.intermediateSize],
    ["num_experts", of.mixture?.numExperts],
    ["num_experts_per_tok", of.mixture?.expertsPerToken],
    ["moe_intermediate_size", of.mixture?.intermediateSize],
  ];
}

/**
 * Checks model.name and model.flavor against the folder's config.json.
 * @throws UserError where they disagree, or where there is no such name
 */
export function checkFlavor(name: string | null, flavor: string | null, config: ModelConfig): void {
  if (name === null) return;
  const family = flavors[name];
  if (!family) {
    throw new UserError(
      `model.name: expected one of ${Object.keys(flavors).join(", ")}, found ${JSON.stringify(name)}`,
      { exitCode: 2 },
    );
  }
  if (family.family !== config.family) {
    throw new UserError(
      `model.name: ${name} is of type ${family.family}, but config.json in model.hf_assets_path says model_type ${config.family}. ` +
        "Leave model.name and model.flavor out, and config.json decides.",
      { exitCode: 2 },
    );
  }
  if (flavor === null) return;
  const wanted = family.flavors[flavor];
  if (!wanted) {
    throw new UserError(
      `model.flavor: expected one of ${Object.keys(family.flavors).join(", ")} for model.name ${name}, found ${JSON.stringify(flavor)}`,
      { exitCode: 2 },
    );
  }
  const found = new Map(numbersOf(config));
  for (const [key, number] of numbersOf(wanted)) {
    if (number === found.get(key)) continue;
    throw new UserError(
      `model.flavor: ${name} ${flavor} has ${key} ${number ?? "none"}, but config.json in model.hf_assets_path says ${found.get(key) ?? "none"}. ` +
        "Leave model.name and model.flavor out, and config.json decides.",
      { exitCode: 2 },
    );
  }
}
