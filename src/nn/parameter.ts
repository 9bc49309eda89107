// What a parameter is. A model's family declares each of its parameters once; whatever makes, initializes, divides, trains,
// saves or counts them reads the declaration, and nothing is told from a name. Holds no tensor.
import type { StorageFormat } from "./storage-format.ts";

/**
 * How tensor parallelism divides a parameter: `column` along its outputs (dimension 0), `row` along its inputs (dimension 1),
 * `vocabulary` along the tokens (dimension 0); `none`: every rank has all of it.
 */
export type TensorSplit = "column" | "row" | "vocabulary" | "none";

/**
 * `normal`: mean 0 and a standard deviation that whoever initializes chooses. `uniform`: within ±1/√(size of dimension 1), as
 * PyTorch's Linear.
 */
export type Initialization = "normal" | "uniform" | "ones" | "zeros";

/** Rows of a larger matrix that files hold. */
export interface FilePlace {
  /** The larger one's name. */
  readonly into: string;
  /** Of its `of` rows (entries of dimension 0): the first one, and how many. */
  readonly start: number;
  readonly rows: number;
  readonly of: number;
}

export interface ParameterSpec {
  /** As Hugging Face names it. */
  readonly name: string;
  /** Of the whole parameter; of this rank's part once a strategy has divided the block. */
  readonly shape: readonly number[];
  /** How its numbers are stored; undefined: in the run's dtype (`training.dtype`). */
  readonly storage?: StorageFormat | undefined;
  /** Frozen parameters have no gradient, no moments, and no part in the norm. */
  readonly trainable: boolean;
  readonly split: TensorSplit;
  /** Which of a layer's experts it belongs to. */
  readonly expert?: { readonly index: number; readonly count: number } | undefined;
  /** It holds this many experts, of which a token goes to some. */
  readonly stackedExperts?: number | undefined;
  readonly init: Initialization;
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /** The parameter whose tensor this one is: it has no memory of its own. */
  readonly tiedTo?: string | undefined;
  /** Whether checkpoints hold it. */
  readonly saved: boolean;
  /** Where files hold it as a part of a larger matrix (`qkv_proj`). */
  readonly inFile?: FilePlace | undefined;
  /** This process has a copy; another pipeline stage has the parameter itself, and saves it. */
  readonly isCopy?: boolean | undefined;
}

/** A parameter that is trained, decayed and saved, drawn from a normal distribution, and whole on every tensor rank. */
export function parameter(
  name: string,
  shape: readonly number[],
  more: Partial<Omit<ParameterSpec, "name" | "shape">> = {},
): ParameterSpec {
  return { name, shape, trainable: true, split: "none", init: "normal", decay: true, saved: true, ...more };
}
