// adapter_config.json: an adapter as PEFT describes it, from and to our settings. Plain objects; reads and writes no file.
import { parametersOf, type BlockSpec } from "../nn/index.ts";
import { UserError } from "../util/index.ts";
import { adaptersOf, isOfAdapter, tunedBlocks, type AdapterSettings } from "./adapters.ts";
import { kindOf, moduleOf } from "./selection.ts";

/** Options of PEFT that change what is computed, each with the values that mean that it is off. */
const unsupported: Readonly<Record<string, readonly unknown[]>> = {
  fan_in_fan_out: [false],
  bias: ["none"],
  lora_bias: [false],
  target_parameters: [[]],
  trainable_token_indices: [[], {}],
  alora_invocation_tokens: [[]],
  use_qalora: [false],
  use_bdlora: [false],
  arrow_config: [],
  velora_config: [],
  monteclora_config: [],
  kasa_config: [],
  layer_replication: [[]],
  exclude_modules: [[]],
};

/** Ways to begin that leave the base as it is; the others have changed it, and PEFT changes it again when it loads them. */
const plainInits = [true, false, "gaussian", "orthogonal", "eva", "mica", "lora_ga", null, undefined];

/**
 * The settings that an adapter_config.json describes.
 * @param where the file, for messages
 * @throws UserError for what isn't LoRA, rsLoRA or DoRA of linear layers
 */
export function settingsOfPeft(config: Readonly<Record<string, unknown>>, where: string): AdapterSettings {
  const refuse = (key: string, expected: string): never => {
    throw new UserError(
      `${where}: ${key}: expected ${expected}, found ${JSON.stringify(config[key])}. In Python, merge the adapter into its base (merge_and_unload) and use the merged model.`,
      { exitCode: 2 },
    );
  };
  if (config["peft_type"] !== "LORA") refuse("peft_type", '"LORA"');
  for (const [key, off] of Object.entries(unsupported)) {
    const found = config[key] ?? null;
    if (found === null || off.some((one) => JSON.stringify(one) === JSON.stringify(found))) continue;
    refuse(key, off.length === 0 ? "null" : JSON.stringify(off[0]));
  }
  if (!plainInits.includes(config["init_lora_weights"] as string))
    refuse(
      "init_lora_weights",
      "an adapter of an unchanged base (true); this way to begin changes the base's weights",
    );
  const isNumber = (value: unknown): value is number => typeof value === "number" && value > 0;
  const number = (key: string): number => {
    const value = config[key];
    return isNumber(value) ? value : refuse(key, "a positive number");
  };
  const texts = (key: string): readonly string[] => {
    const value = config[key] ?? [];
    return Array.isArray(value) && value.every((one) => typeof one === "string")
      ? value
      : refuse(key, "a list of names");
  };
  const pattern = (key: string): Record<string, number> => {
    const value = config[key] ?? {};
    return typeof value === "object" && Object.values(value).every(isNumber)
      ? (value as Record<string, number>)
      : refuse(key, "numbers by name");
  };
  const target = config["target_modules"];
  const layers = config["layers_to_transform"] ?? undefined;
  const { use_dora: isDora = false, use_rslora: isScaledByRoot = false } = config;
  if (isDora === true && isScaledByRoot === true) refuse("use_rslora", "false beside use_dora: true");
  return {
    method: isDora === true ? "dora" : isScaledByRoot === true ? "rslora" : "lora",
    rank: number("r"),
    alpha: number("lora_alpha"),
    dropout: 0,
    targetModules: typeof target === "string" ? target : texts("target_modules"),
    rankPattern: pattern("rank_pattern"),
    alphaPattern: pattern("alpha_pattern"),
    modulesToSave: texts("modules_to_save"),
    layers: layers === undefined ? undefined : typeof layers === "number" ? [layers] : (layers as number[]),
  };
}

/**
 * The adapter_config.json of an adapter.
 * @param blocks of the model without it
 * @param base the model that it adapts, as PEFT is to find it
 */
export function peftConfigOf(
  settings: AdapterSettings,
  blocks: readonly BlockSpec[],
  base: string,
): Record<string, unknown> {
  const { method, modulesToSave } = settings;
  return {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    auto_mapping: null,
    base_model_name_or_path: base,
    revision: null,
    inference_mode: true,
    r: settings.rank,
    lora_alpha: settings.alpha,
    lora_dropout: settings.dropout,
    ...targetsOfPeft(settings, blocks),
    rank_pattern: settings.rankPattern,
    alpha_pattern: settings.alphaPattern,
    modules_to_save: modulesToSave.length === 0 ? null : modulesToSave,
    ensure_weight_tying: sharesSaved(settings, blocks),
    use_rslora: method === "rslora",
    use_dora: method === "dora",
    bias: "none",
    lora_bias: false,
    fan_in_fan_out: false,
    init_lora_weights: true,
    layers_pattern: null,
  };
}

/** Whether a module that is saved is another one, too: tied embeddings. */
function sharesSaved(settings: AdapterSettings, blocks: readonly BlockSpec[]): boolean {
  const specs = parametersOf(tunedBlocks(blocks, { trainable: [], adapter: settings }));
  return blocks.some(({ tied = [] }) => tied.some(({ tiedTo }) => specs.get(tiedTo!)?.saved === true));
}

/** Last parts of names and the layers that they are in where that says it, else whole names. */
function targetsOfPeft(
  settings: AdapterSettings,
  blocks: readonly BlockSpec[],
): { target_modules: string[]; layers_to_transform: number[] | null } {
  const tuned = tunedBlocks(blocks, { trainable: [], adapter: settings });
  const adapted = adaptersOf(tuned);
  const layers = tuned.flatMap(({ adapters = [] }, block) => (adapters.length > 0 ? [block - 1] : []));
  const names = new Set([...adapted.keys()].map((module) => module.split(".").at(-1)!));
  // What these names would match in these layers.
  const isAdapter = isOfAdapter(tuned);
  const all = tuned.flatMap(({ parameters }, block) =>
    [...parameters.keys()]
      .filter((name) => layers.includes(block - 1) && !isAdapter(name))
      .map((name) => moduleOf(name))
      .filter((module) => names.has(kindOf(module, block).split(".").at(-1)!)),
  );
  const saysAll = all.every((module) => adapted.has(module));
  if (!saysAll) return { target_modules: [...adapted.keys()], layers_to_transform: null };
  const isEverywhere = layers.length === blocks.length - 2;
  return { target_modules: [...names], layers_to_transform: isEverywhere ? null : layers };
}
