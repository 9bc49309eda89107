// The parameters of one block: of the embedding, a layer or the head, which the training step runs one by one.
import type { AdapterSpec } from "./low-rank.ts";
import type { FilePlace, ParameterSpec } from "./parameter.ts";

export interface BlockSpec {
  /** Its own, by name, in the order in which they are initialized and laid out in memory. */
  readonly parameters: ReadonlyMap<string, ParameterSpec>;
  /** Those that are another block's tensor (`tiedTo`): tied embeddings. */
  readonly tied?: readonly ParameterSpec[];
  /** Of its layers that have one; their parameters are among the block's. */
  readonly adapters?: readonly AdapterSpec[];
  /** How names begin that files may have and that the model doesn't compute: of layers that predict further tokens. */
  readonly passedOver?: readonly string[];
  /** False: its backward needs shapes alone, as an embedding's. Default true. */
  readonly valuesInBackward?: boolean;
  /** False: nothing in it or below it is trained, so that backward ends above it. Default true. */
  readonly passesGradient?: boolean;
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

/** The blocks with only those parameters trained that are meant; what is below the first of them passes no gradient. */
export function freeze(
  blocks: readonly BlockSpec[],
  isTrained: (spec: ParameterSpec, block: number) => boolean,
): BlockSpec[] {
  const frozen = blocks.map((block, i) =>
    mapParameters(block, (spec) => ({ ...spec, trainable: isTrained(spec, i) })),
  );
  const first = frozen.findIndex(({ parameters }) => [...parameters.values()].some((one) => one.trainable));
  return frozen.map((block, i) => (i < first ? { ...block, passesGradient: false } : block));
}

/** The number of the first block that passes a gradient: 0 where the embedding is trained. */
export const firstTrainedBlock = (blocks: readonly BlockSpec[]): number =>
  blocks.findIndex(({ passesGradient = true }) => passesGradient);

/** All blocks' parameters by name, in order; tied ones are not among them. */
export function parametersOf(blocks: readonly BlockSpec[]): Map<string, ParameterSpec> {
  return new Map(blocks.flatMap(({ parameters }) => [...parameters]));
}

/** Names of parameters without a tensor of their own, and whose tensor they are. */
export function tiedNames(blocks: readonly BlockSpec[]): Map<string, string> {
  return new Map(blocks.flatMap(({ tied = [] }) => tied.map(({ name, tiedTo }) => [name, tiedTo!])));
}

/** How files name what blocks have, beside the parameters' own names. */
export interface FileNames {
  /** See tiedNames. */
  readonly tied: Map<string, string>;
  /** Parameters that are rows of a larger matrix there. */
  readonly places: Map<string, FilePlace>;
  /** See BlockSpec. */
  readonly passedOver: string[];
}

export function fileNames(blocks: readonly BlockSpec[]): FileNames {
  const places = [...parametersOf(blocks)].flatMap(([name, { inFile }]) =>
    inFile === undefined ? [] : [[name, inFile] as const],
  );
  const passedOver = blocks.flatMap((block) => block.passedOver ?? []);
  return { tied: tiedNames(blocks), places: new Map(places), passedOver };
}
