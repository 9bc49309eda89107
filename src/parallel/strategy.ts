// What a parallel strategy is to the training step: which tensors are computed with, which are trained, which are saved, and
// hooks around each block. The step runs blocks (embedding, layers, head) one by one and knows no strategy's name. Tensor and
// pipeline parallelism are strategies around another one: the first changes what a block computes, the second which blocks
// this process has.
import { parametersOf, type BlockSpec, type ParameterSpec, type ShardSlice } from "../nn/index.ts";
import { empty, type Device, type Dtype, type Tensor } from "../torch/index.ts";
import type { ExpertExchange } from "./experts/expert-exchange.ts";
import type { StageRelay } from "./pipeline/stage-relay.ts";
import type { TensorRegion } from "./tensor/tensor-region.ts";

/** Which part of a divided model this rank saves. */
export interface ShardOwnership {
  /** This rank's number among those that one model is divided among, from 0. */
  readonly index: number;
  readonly count: number;
  /** Of the ranks that hold the same part, this one's number: the first saves it. */
  readonly replica: number;
  /**
   * Parameters of which this rank (or its first replica) saves what it holds; the rest is another rank's to save. What there
   * is once for a whole parameter, such as the optimizer's count of steps, the rank with its first slice saves.
   */
  readonly saved: ReadonlySet<string>;
}

/** One way through the blocks. */
export interface Pass {
  /** Whether gradients follow. */
  readonly backward: boolean;
  /** The last micro-batch of a step: afterwards the optimizer wants the gradients. */
  readonly last: boolean;
  /**
   * Of a step with one micro-batch: called with the names of trained parameters as soon as their gradients, summed over the ranks, are
   * in `.grad`, and block by block while backward goes on (at the latest in `finishGradients`). It may change these parameters, and
   * drops the gradients. All ranks call it with the same names in the same order.
   */
  readonly onGradients?: ((names: readonly string[]) => void) | undefined;
}

/**
 * What the step calls, in this order: begin; before and afterForward of each block; with `backward`, beforeBackward and
 * afterBackward of each, from the last one to the first. The last block computes loss and gradients in one: with `backward`
 * it has beforeForward and afterBackward only. Gradients lie in `.grad` of the tensors that the blocks compute with, complete
 * when afterBackward of the parameter's own block is called.
 */
export interface BlockHooks {
  begin(pass: Pass): void;
  beforeForward(block: number): void;
  afterForward(block: number): void;
  beforeBackward(block: number): void;
  afterBackward(block: number): void;
}

export interface Strategy extends BlockHooks {
  /** Whole parameters, to compute with. Between the hooks of a block they may be memory without values. */
  readonly full: ReadonlyMap<string, Tensor>;
  /** What of them this rank holds: the same tensors, or its slices. Initializing and loading fill these. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** Those of `parameters` that are trained: only they have gradients, and only they are the optimizer's. */
  readonly trained: ReadonlyMap<string, Tensor>;
  /** Those of `parameters` that a checkpoint holds. */
  readonly saved: ReadonlyMap<string, Tensor>;
  /** Which slices `parameters` are; without an entry a parameter is whole. */
  readonly slices: ReadonlyMap<string, ShardSlice>;
  readonly ownership: ShardOwnership;
  /** What the layers compute with where each has a part of every matrix (tensor parallelism). */
  readonly region?: TensorRegion | undefined;
  /** How tokens get to the experts of other ranks (expert parallelism); `full` then has this rank's alone. */
  readonly exchange?: ExpertExchange | undefined;
  /** How the stages compute together outside a schedule (pipeline parallelism). */
  readonly relay?: StageRelay | undefined;
  /** After the last micro-batch: puts the gradients, summed over the ranks, into `.grad` of `trained`. */
  finishGradients(): void;
  /**
   * The 2-norm of those gradients over all ranks that share the model: the same number on each.
   * @param names of the parameters whose gradients count. Default: all that are trained
   */
  gradNorm(names?: readonly string[]): number;
  /** Makes all of this rank's parameters whole (for generation, say), until `release`. Every rank calls it. */
  gatherAll(): void;
  release(): void;
}

export interface StrategyOptions {
  /** Of the parameters that are trained. */
  readonly dtype: Dtype;
  readonly device: Device | string;
  /** In which gradients are added up over the ranks; never narrower than asked. Default: the parameters'. */
  readonly reduceDtype?: Dtype | undefined;
}

/** Whole parameters without values, by name. */
export function wholeParameters(
  blocks: readonly BlockSpec[],
  { dtype, device }: Pick<StrategyOptions, "dtype" | "device">,
): Map<string, Tensor> {
  const made = new Map<string, Tensor>();
  for (const [name, { shape, storage, trainable }] of parametersOf(blocks)) {
    const own = { dtype: storage?.dtype ?? dtype, device };
    made.set(name, empty(storage?.storedShape(shape) ?? shape, own).requiresGrad_(trainable));
  }
  return made;
}

/** The tensors that are trained, and those that a checkpoint holds. */
export function trainedAndSaved(
  blocks: readonly BlockSpec[],
  parameters: ReadonlyMap<string, Tensor>,
): Pick<Strategy, "trained" | "saved"> {
  const specs = parametersOf(blocks);
  const those = (isMeant: (spec: ParameterSpec) => boolean) =>
    new Map([...parameters].filter(([name]) => isMeant(specs.get(name)!)));
  return { trained: those(({ trainable }) => trainable), saved: those(({ saved }) => saved) };
}

/** Those of these parameters that `names` has; by default all. */
export function chosen(
  parameters: ReadonlyMap<string, Tensor>,
  names: readonly string[] | undefined,
): Tensor[] {
  if (names === undefined) return [...parameters.values()];
  return names.flatMap((name) => parameters.get(name) ?? []);
}

/** Names of what this rank saves: of the parameters that a checkpoint holds its slices, unless it has none or a copy. */
export function namesToSave(
  blocks: readonly BlockSpec[],
  slices: ReadonlyMap<string, ShardSlice>,
): Set<string> {
  const own = [...parametersOf(blocks).values()].filter(
    ({ name, saved, isCopy = false }) => saved && !isCopy && slices.get(name)?.length !== 0,
  );
  return new Set(own.map(({ name }) => name));
}

/** Hooks that do nothing: one process. */
export const noHooks: BlockHooks = {
  begin: () => undefined,
  beforeForward: () => undefined,
  afterForward: () => undefined,
  beforeBackward: () => undefined,
  afterBackward: () => undefined,
};
