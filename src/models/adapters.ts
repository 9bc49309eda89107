// Adapters as declarations: which matrices have one, and its parameters, which take their split from the matrix's. The words
// and what they match are PEFT's (peft.LoraConfig). The base is then frozen, and no checkpoint holds it.
import {
  blockOf,
  freeze,
  parameter,
  type AdapterSpec,
  type BlockSpec,
  type ParameterSpec,
} from "../nn/index.ts";
import { UserError } from "../util/index.ts";
import { adapterNames } from "./adapter-names.ts";
import { isLinear } from "./quantized-base.ts";
import { kindOf, kindsOf, layerRange, moduleOf, selectParameters } from "./selection.ts";

export interface AdapterSettings {
  readonly method: "lora" | "rslora" | "dora";
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  /** `all-linear`; names or last parts of names; or a regular expression of whole names. */
  readonly targetModules: string | readonly string[];
  /** Other ranks and alphas, by regular expressions of the last parts of names. */
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  /** Modules that are trained themselves. */
  readonly modulesToSave: readonly string[];
  /** The layers that have adapters: a range (selection.ts), or their numbers; undefined: all. */
  readonly layers: string | readonly number[] | undefined;
}

/** What is trained of a model, and what is added to it for that. */
export interface Tuning {
  /** Patterns of the parameters that are trained; empty: all. */
  readonly trainable: readonly string[];
  /** Undefined: none. Then nothing of the model itself is trained but what it names. */
  readonly adapter: AdapterSettings | undefined;
}

/**
 * A model's blocks as they are trained: with adapters, and frozen parts.
 * @throws UserError for a pattern that matches nothing, and for targets that can't have an adapter
 */
export function tunedBlocks(
  blocks: readonly BlockSpec[],
  { trainable, adapter }: Tuning,
): readonly BlockSpec[] {
  if (adapter !== undefined) return adaptedBlocks(blocks, adapter);
  if (trainable.length === 0) return blocks;
  return freeze(blocks, selectParameters(blocks, trainable, "training.trainable"));
}

/** Adapters of blocks, by the layers that they adapt. */
export function adaptersOf(blocks: readonly BlockSpec[]): Map<string, AdapterSpec> {
  return new Map(blocks.flatMap(({ adapters = [] }) => adapters.map((one) => [one.module, one])));
}

/** Numbers of the parameters that are an adapter's, not the model's own. */
export function isOfAdapter(blocks: readonly BlockSpec[]): (name: string) => boolean {
  const names = new Set([...adaptersOf(blocks).keys()].flatMap((one) => Object.values(adapterNames(one))));
  return (name) => names.has(name);
}

function adaptedBlocks(blocks: readonly BlockSpec[], settings: AdapterSettings): BlockSpec[] {
  const isTarget = targetsOf(blocks, settings);
  const isSaved = savedModules(blocks, settings.modulesToSave);
  let count = 0;
  const added = blocks.map((block, i): BlockSpec => {
    const adapters: AdapterSpec[] = [];
    const parameters = [...block.parameters.values()].flatMap((spec) => {
      const module = moduleOf(spec.name);
      if (!isLinear(spec) || !isTarget(module, i)) return [spec];
      if (isSaved(spec))
        throw new UserError(
          `adapter.modules_to_save: ${module} is among adapter.target_modules, too; a module is adapted or trained itself, not both.`,
          { exitCode: 2 },
        );
      count++;
      const { adapter, own } = declare(spec, module, settings);
      adapters.push(adapter);
      return [spec, ...own];
    });
    return blockOf(parameters, { ...block, adapters });
  });
  if (count === 0) throw noTarget(blocks, settings);
  const isAdapter = isOfAdapter(added);
  return freeze(added, (spec) => isAdapter(spec.name) || isSaved(spec)).map((block) =>
    blockOf(
      [...block.parameters.values()].map((spec) => ({ ...spec, saved: spec.trainable })),
      block,
    ),
  );
}

function declare(
  { shape, split }: ParameterSpec,
  module: string,
  settings: AdapterSettings,
): { adapter: AdapterSpec; own: ParameterSpec[] } {
  const [outputs, inputs] = shape as [number, number];
  const rank = ofPattern(settings.rankPattern, module) ?? settings.rank;
  const alpha = ofPattern(settings.alphaPattern, module) ?? settings.alpha;
  const scale = settings.method === "rslora" ? alpha / Math.sqrt(rank) : alpha / rank;
  const names = adapterNames(module);
  const ofOutputs = split === "column" ? "column" : "none";
  const own = [
    parameter(names.a, [rank, inputs], { init: "uniform", split: split === "row" ? "row" : "none" }),
    parameter(names.b, [outputs, rank], { init: "zeros", split: ofOutputs }),
  ];
  // What it begins as, the base's weights say (see train/trainer/start.ts).
  if (settings.method === "dora")
    own.push(parameter(names.magnitude, [outputs], { init: "ones", split: ofOutputs }));
  return { adapter: { module, scale, dropout: settings.dropout }, own };
}

/** The first pattern that is a module's name or the last parts of it, as PEFT's get_pattern_key. */
function ofPattern(patterns: Readonly<Record<string, number>>, module: string): number | undefined {
  for (const [pattern, value] of Object.entries(patterns))
    if (regularExpression(String.raw`^(?:.*\.)?(?:${pattern})$`, pattern).test(module)) return value;
  return undefined;
}

function regularExpression(source: string, given: string): RegExp {
  try {
    return new RegExp(source);
  } catch (error) {
    throw new UserError(
      `adapter: ${JSON.stringify(given)}: expected a regular expression: ${String(error)}`,
      {
        cause: error,
        exitCode: 2,
      },
    );
  }
}

const endsIn = (module: string, names: readonly string[]): boolean =>
  names.some((name) => module === name || module.endsWith(`.${name}`));

function targetsOf(
  blocks: readonly BlockSpec[],
  { targetModules, layers }: AdapterSettings,
): (module: string, block: number) => boolean {
  const numLayers = blocks.length - 2;
  const inLayers = (layer: number): boolean => {
    if (layers === undefined) return true;
    if (typeof layers !== "string") return layers.includes(layer);
    const { first, end } = layerRange(layers, numLayers);
    return layer >= first && layer < end;
  };
  if (typeof targetModules !== "string") {
    for (const name of targetModules) refuseOtherTarget(blocks, name);
    return (module, block) => inLayers(block - 1) && endsIn(module, targetModules);
  }
  if (targetModules === "all-linear") return (_, block) => inLayers(block - 1);
  const pattern = regularExpression(`^(?:${targetModules})$`, targetModules);
  return (module, block) => inLayers(block - 1) && pattern.test(module);
}

/** @throws UserError for a name that no linear layer has */
function refuseOtherTarget(blocks: readonly BlockSpec[], name: string): void {
  const specs = blocks.flatMap(({ parameters, tied = [] }) => [...parameters.values(), ...tied]);
  const named = specs.filter((spec) => endsIn(moduleOf(spec.name), [name]));
  if (named.some(isLinear)) return;
  const found = named[0];
  const what =
    found === undefined
      ? `found none. Those of this model: ${linearNames(blocks).join(", ")}`
      : found.expert === undefined
        ? `found ${moduleOf(found.name)}, which is none. To train it itself, name it in adapter.modules_to_save`
        : `found ${moduleOf(found.name)}, an expert's, which can't have an adapter yet`;
  throw new UserError(
    `adapter.target_modules: expected linear layers whose names end in ${JSON.stringify(name)}, ${what}.`,
    {
      exitCode: 2,
    },
  );
}

function noTarget(blocks: readonly BlockSpec[], { targetModules, layers }: AdapterSettings): UserError {
  const within = layers === undefined ? "" : ` in adapter.layers ${JSON.stringify(layers)}`;
  return new UserError(
    `adapter.target_modules: expected linear layers that ${JSON.stringify(targetModules)} matches${within}, found none. Its ${blocks.length - 2} layers have: ${linearNames(blocks).join(", ")}.`,
    { exitCode: 2 },
  );
}

function linearNames(blocks: readonly BlockSpec[]): string[] {
  const names = blocks.flatMap(({ parameters }, i) =>
    [...parameters.values()].filter(isLinear).map(({ name }) => kindOf(moduleOf(name), i).split(".").at(-1)!),
  );
  return [...new Set(names)];
}

/**
 * Modules whose names end so, as in PEFT not only at a dot: `norm` means all norms, `model.norm` the last one.
 * @throws UserError for a name that no module has, or only one that is tied to another
 */
function savedModules(
  blocks: readonly BlockSpec[],
  names: readonly string[],
): (spec: ParameterSpec) => boolean {
  const tied = blocks.flatMap(({ tied: shared = [] }) => shared);
  const all = blocks.flatMap(({ parameters }) => [...parameters.values()]);
  for (const name of names) {
    const isMeant = (spec: ParameterSpec): boolean => moduleOf(spec.name).endsWith(name);
    const shared = tied.find(isMeant);
    if (shared !== undefined)
      throw new UserError(
        `adapter.modules_to_save: ${name} is ${moduleOf(shared.tiedTo!)} in this model (tie_word_embeddings); name that, and both are trained as one.`,
        { exitCode: 2 },
      );
    if (all.some(isMeant)) continue;
    throw new UserError(
      `adapter.modules_to_save: expected a module whose name ends in ${JSON.stringify(name)}, found none. This model has: ${kindsOf(blocks).join(", ")}.`,
      { exitCode: 2 },
    );
  }
  return ({ name }) => names.some((one) => moduleOf(name).endsWith(one));
}
