// Families and flavors by the names of the guide: `llama3` `8B`. They name shapes; config.json of the model folder decides,
// and a name that says otherwise is an error. Without a folder a flavor stands for its model: to measure one that isn't here.
import { UserError } from "../util/index.ts";
import { families, type Family, type Flavor, type ModelConfig } from "./families/index.ts";
import { parseModelConfig } from "./read-config.ts";

interface NamedFlavors {
  readonly family: Family;
  readonly flavors: Readonly<Record<string, Flavor>>;
}

/** By `model.name`, then by `model.flavor`. */
const byName: ReadonlyMap<string, NamedFlavors> = new Map(
  families.flatMap((family) =>
    Object.entries(family.flavors).map(([name, flavors]) => [name, { family, flavors }] as const),
  ),
);

/** The sizes that are compared, under their names in config.json. The vocabulary may differ: people add tokens. */
function sizesOf(of: Omit<Flavor, "tied" | "json" | "moe"> & Pick<ModelConfig | Flavor, "moe">) {
  return {
    hidden_size: of.hiddenSize,
    num_hidden_layers: of.numLayers,
    num_attention_heads: of.numHeads,
    num_key_value_heads: of.numKvHeads,
    intermediate_size: of.intermediateSize,
    num_experts: of.moe?.numExperts,
    num_experts_per_tok: of.moe?.expertsPerToken,
    moe_intermediate_size: of.moe?.intermediateSize,
  };
}

/**
 * Checks model.name and model.flavor against the folder's config.json.
 * @throws UserError where they disagree, or where there is no such name
 */
export function checkFlavor(name: string | null, flavor: string | null, config: ModelConfig): void {
  if (name === null) return;
  const fail = (message: string): never => {
    throw new UserError(message, { exitCode: 2 });
  };
  const advice = "Leave model.name and model.flavor out, and config.json decides.";
  const found = byName.get(name);
  if (found === undefined)
    return fail(
      `model.name: expected one of ${[...byName.keys()].join(", ")}, found ${JSON.stringify(name)}`,
    );
  const { modelType } = found.family;
  if (modelType !== config.family)
    fail(
      `model.name: ${name} is of type ${modelType}, but config.json in model.hf_assets_path says model_type ${config.family}. ${advice}`,
    );
  if (flavor === null) return;
  const wanted = found.flavors[flavor];
  if (wanted === undefined)
    return fail(
      `model.flavor: expected one of ${Object.keys(found.flavors).join(", ")} for model.name ${name}, found ${JSON.stringify(flavor)}`,
    );
  const [expected, actual] = [Object.entries(sizesOf(wanted)), new Map(Object.entries(sizesOf(config)))];
  for (const [key, size] of expected)
    if (size !== actual.get(key))
      fail(
        `model.flavor: ${name} ${flavor} has ${key} ${size ?? "none"}, but config.json in model.hf_assets_path says ${actual.get(key) ?? "none"}. ${advice}`,
      );
}

/** config.json of a flavor, as far as it matters here. @throws UserError where there is no such flavor */
export function flavorJson(name: string, flavor: string): Record<string, unknown> {
  const found = byName.get(name);
  const of = found?.flavors[flavor];
  if (found === undefined || of === undefined)
    throw new UserError(
      `model.name and model.flavor: expected one of ${[...byName]
        .flatMap(([known, { flavors }]) => Object.keys(flavors).map((one) => `${known} ${one}`))
        .join(", ")}; found ${name} ${flavor}`,
      { exitCode: 2 },
    );
  return {
    model_type: found.family.modelType,
    ...Object.fromEntries(Object.entries(sizesOf(of)).filter(([, size]) => size !== undefined)),
    vocab_size: of.vocabSize,
    tie_word_embeddings: of.tied ?? false,
    max_position_embeddings: 131_072,
    ...of.json,
  };
}

/** @throws UserError where there is no such flavor */
export function modelOfFlavor(name: string, flavor: string): ModelConfig {
  return parseModelConfig(flavorJson(name, flavor), `${name} ${flavor}`);
}
