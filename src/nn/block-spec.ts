// The parameters of one block: of the embedding, a layer or the head, which the training step runs one by one.
import type { ParameterSpec } from "./parameter.ts";

export interface BlockSpec {
  /** Its own, by name, in the order in which they are initialized and laid out in memory. */
  readonly parameters: ReadonlyMap<string, ParameterSpec>;
  /** Those that are another block's tensor (`tiedTo`): tied embeddings. */
  readonly tied?: readonly ParameterSpec[];
  /** False: its backward needs shapes alone, as an embedding's. Default true. */
  readonly valuesInBackward?: boolean;
}

export function blockOf(
  parameters: readonly ParameterSpec[],
  more: Omit<BlockSpec, "parameters"> = {},
): BlockSpec {
  return { ...more, parameters: new Map(parameters.map((one) => [one.name, one])) };
}

/** The block with only some of its parameters, or with changed ones. */
export function mapParameters(
  block: BlockSpec,
  change: (spec: ParameterSpec) => ParameterSpec | undefined,
): BlockSpec {
  const changed = [...block.parameters.values()].map(change).filter((one) => one !== undefined);
  return blockOf(changed, block);
}

/** All blocks' parameters by name, in order; tied ones are not among them. */
export function parametersOf(blocks: readonly BlockSpec[]): Map<string, ParameterSpec> {
  return new Map(blocks.flatMap(({ parameters }) => [...parameters]));
}

/** Names of parameters without a tensor of their own, and whose tensor they are. */
export function tiedNames(blocks: readonly BlockSpec[]): Map<string, string> {
  return new Map(blocks.flatMap(({ tied = [] }) => tied.map(({ name, tiedTo }) => [name, tiedTo!])));
}
