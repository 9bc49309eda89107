// What a parallel strategy is to the training step: tensors to compute with, tensors to train, and hooks around each block.
// A block is one of the pieces that the step runs one by one (embedding, layers, head); the step knows no strategy's name.
// Tensor, pipeline and context parallelism plug in here too: the first changes what a block computes, the second which
// blocks this process has, the third what a batch is.
import { empty, type Device, type Dtype, type Tensor } from "../torch/index.ts";
import type { ExpertExchange } from "./expert-exchange.ts";
import type { StageRelay } from "./stage-relay.ts";
import type { TensorRegion } from "./tensor-region.ts";

/** A block's parameters: names (of Hugging Face) and whole shapes. */
export interface BlockSpec {
  readonly parameters: ReadonlyMap<string, readonly number[]>;
  /** Parameters of another block that this one computes with too (tied embeddings). */
  readonly shared?: readonly string[];
  /** False: its backward needs shapes alone, as an embedding's. Default true. */
  readonly valuesInBackward?: boolean;
}

/** The rows of a parameter (of dimension 0) that this rank holds. */
export interface Rows {
  readonly dim: 0;
  readonly start: number;
  readonly length: number;
  /** Rows of the whole parameter. */
  readonly of: number;
  /** Which columns (of dimension 1) of those rows; none: all. */
  readonly columns?: { readonly start: number; readonly length: number; readonly of: number };
  /** Another rank among those that the model is divided among holds them, too, and saves them. */
  readonly isCopy?: boolean;
}

/** The shape of a whole parameter, from that of a rank's part. */
export function wholeShape(shape: readonly number[], rows: Rows | undefined): readonly number[] {
  if (rows === undefined) return shape;
  const whole = shape.with(0, rows.of);
  return rows.columns === undefined ? whole : whole.with(1, rows.columns.of);
}

/** A rank's part of a whole tensor: a view. */
export function ownPart(whole: Tensor, rows: Rows | undefined): Tensor {
  if (rows === undefined) return whole;
  const own = whole.narrow(0, rows.start, rows.length);
  return rows.columns === undefined ? own : own.narrow(1, rows.columns.start, rows.columns.length);
}

/** Which part of a divided model this rank holds. */
export interface ShardPlace {
  /** From 0. */
  readonly index: number;
  readonly count: number;
  /** Of the ranks that hold the same part, this one's number: the first saves it. */
  readonly replica: number;
  /** Whether this rank saves those of its parameters that aren't divided into rows. Default: the first rank does. */
  readonly savesWhole?: boolean;
  /** Parameters that the first rank hasn't (experts): of these this one saves what isn't divided, too. */
  readonly firstOf?: ReadonlySet<string> | undefined;
  /** Parameters that another rank has, too, and saves (a tied embedding in two pipeline stages). */
  readonly copies?: ReadonlySet<string>;
}

/** One way through the blocks. */
export interface Pass {
  /** Whether gradients follow. */
  readonly backward: boolean;
  /** The last micro-batch of a step: afterwards the optimizer wants the gradients. */
  readonly last: boolean;
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
  /** What the optimizer changes and a checkpoint holds: the same tensors, or this rank's rows of them. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** Which rows those are; none: all. */
  readonly rows: ReadonlyMap<string, Rows>;
  readonly place: ShardPlace;
  /** What the layers compute with where each has a part of every matrix (tensor parallelism). */
  readonly region?: TensorRegion | undefined;
  /** How tokens get to the experts of other ranks (expert parallelism); `full` then has this rank's alone. */
  readonly exchange?: ExpertExchange | undefined;
  /** How the stages compute together outside a schedule (pipeline parallelism). */
  readonly relay?: StageRelay | undefined;
  /** After the last micro-batch: puts the gradients, summed over the ranks, into `.grad` of `parameters`. */
  finishGradients(): void;
  /** The 2-norm of those gradients over all ranks that share the model: the same number on each. */
  gradNorm(): number;
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
  for (const block of blocks)
    for (const [name, shape] of block.parameters)
      made.set(name, empty(shape, { dtype, device }).requiresGrad_());
  return made;
}

/** Hooks that do nothing: one process. */
export const noHooks: BlockHooks = {
  begin: () => undefined,
  beforeForward: () => undefined,
  afterForward: () => undefined,
  beforeBackward: () => undefined,
  afterBackward: () => undefined,
};
