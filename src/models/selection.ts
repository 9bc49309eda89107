// Which parameters or layers a pattern of the configuration means. Patterns are the user's own words for names; no code tells
// anything else from a name.
import type { BlockSpec, ParameterSpec } from "../nn/index.ts";
import { UserError } from "../util/index.ts";

/** A range of layers in Python's notation without brackets: `8:16`, `-4:`, `:8`; or one layer: `3`, `-1`. */
export const rangePattern = /^-?\d+$|^(-?\d+)?:(-?\d+)?$/;

/** The layers that a range means: those from `first` up to, not including, `end`. */
export function layerRange(range: string, numLayers: number): { first: number; end: number } {
  const at = (text: string): number => {
    const index = Number(text);
    return Math.min(numLayers, Math.max(0, index < 0 ? numLayers + index : index));
  };
  if (!range.includes(":")) {
    const index = Number(range);
    const first = index < 0 ? numLayers + index : index;
    return first >= 0 && first < numLayers ? { first, end: first + 1 } : { first: 0, end: 0 };
  }
  const [from = "", to = ""] = range.split(":");
  return { first: from === "" ? 0 : at(from), end: to === "" ? numLayers : at(to) };
}

/** `*` stands for anything. The name of a parameter, that of a module around it, or the last parts of one of these. */
function globOf(pattern: string): RegExp {
  const escaped = pattern.split("*").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(String.raw`^(?:.*\.)?${escaped.join(".*")}(?:\..*)?$`);
}

/** Whether a parameter, of the block of that number, is meant. */
function matcherOf(pattern: string, numLayers: number): (spec: ParameterSpec, block: number) => boolean {
  const ofLayers = /^layers\[([-\d:]+)\](?:\.(.+))?$/.exec(pattern);
  if (ofLayers === null) {
    const glob = globOf(pattern);
    return ({ name }) => glob.test(name);
  }
  const { first, end } = layerRange(ofLayers[1]!, numLayers);
  const glob = globOf(ofLayers[2] ?? "*");
  return ({ name }, block) => block - 1 >= first && block - 1 < end && glob.test(name);
}

/**
 * Whether a parameter is among those that patterns mean.
 * @param key of the configuration, for messages
 * @throws UserError for a pattern that means none
 */
export function selectParameters(
  blocks: readonly BlockSpec[],
  patterns: readonly string[],
  key: string,
): (spec: ParameterSpec, block: number) => boolean {
  const layers = blocks.length - 2;
  const matchers = patterns.map((pattern) => matcherOf(pattern, layers));
  const all = blocks.flatMap(({ parameters }, block) =>
    [...parameters.values()].map((spec) => ({ spec, block })),
  );
  for (const [i, matches] of matchers.entries()) {
    if (all.some(({ spec, block }) => matches(spec, block))) continue;
    const tied = blocks.flatMap(({ tied: shared = [] }) => shared).find((spec) => matchers[i]!(spec, -1));
    const hint =
      tied === undefined
        ? `Its ${layers} layers have: ${kindsOf(blocks).join(", ")}. A pattern is such a name, * for anything in it, or layers[-2:], a range of layers`
        : `${tied.name} is ${tied.tiedTo} in this model (tie_word_embeddings): name that`;
    throw new UserError(
      `${key}: expected parameters that ${JSON.stringify(patterns[i])} matches, found none. ${hint}.`,
      {
        exitCode: 2,
      },
    );
  }
  return (spec, block) => matchers.some((matches) => matches(spec, block));
}

/** The modules of a model with the layers' numbers left out, for messages. */
export function kindsOf(blocks: readonly BlockSpec[]): string[] {
  const kinds = new Set<string>();
  for (const [i, { parameters }] of blocks.entries())
    for (const { name, expert } of parameters.values())
      if (expert === undefined) kinds.add(kindOf(moduleOf(name), i));
  return [...kinds];
}

/** The layer that a parameter belongs to. */
export const moduleOf = (name: string): string => name.replace(/\.(?:weight|bias)$/, "");

/** A module's name without the part that says which layer it is in. @param block its block's number */
export const kindOf = (module: string, block: number): string =>
  module.replace(`model.layers.${block - 1}.`, "");
