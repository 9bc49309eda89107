// What a training step, a checkpoint and a memory forecast know of an optimizer. How one computes its update is its own
// file's; which ones there are, make-optimizer.ts's.
import type { Tensor } from "../torch/index.ts";

export interface StepOptions {
  /** Gradients by parameter name. Default: each parameter's `.grad`. A parameter without one stays as it is. */
  readonly gradients?: ReadonlyMap<string, Tensor>;
  /** Gradients are multiplied by it: `clipCoefficient(norm, maxNorm)` clips without a pass over them. */
  readonly gradScale?: number;
}

/** One tensor of an optimizer's state: the part (`exp_avg`, `step`) that belongs to a parameter. */
export interface OptimizerState {
  readonly parameter: string;
  readonly part: string;
  readonly tensor: Tensor;
  /** It has a value for each element of the parameter and is sharded as that is. Otherwise every rank has it whole. */
  readonly isElementwise: boolean;
  /** It has a value for each block of a row of the parameter: sharded as that is, its columns being blocks. */
  readonly isBlockwise?: boolean;
}

export interface Optimizer extends Disposable {
  /** Changes the parameters by their gradients. @param lr default: the learning rate that it was made with */
  step(lr?: number, options?: StepOptions): void;
  /** Drops the gradients (PyTorch's `zero_grad(set_to_none=True)`). */
  zeroGrad(): void;
  /** What a resume needs. The tensors are the optimizer's own, not copies: later steps change them. */
  state(): OptimizerState[];
  /**
   * Takes over a state with exactly the entries of `state()`. A checkpoint may also be read into the tensors that `state()`
   * gave, and these passed here: then nothing is copied.
   * @throws Error for missing, surplus or misshapen entries, before anything changes
   */
  loadState(state: readonly OptimizerState[]): void;
  /** Releases the state. */
  dispose(): void;
}

/** The name of a state in files: `NAME.exp_avg`. It is joined here and nowhere taken apart. */
export function stateName({ parameter, part }: Pick<OptimizerState, "parameter" | "part">): string {
  return `${parameter}.${part}`;
}

/**
 * An optimizer's own entries, each with the given one.
 * @throws Error unless both have the same entries, with the same dtypes and shapes
 */
export function matchStates(
  own: readonly OptimizerState[],
  given: readonly OptimizerState[],
): (readonly [own: Tensor, given: Tensor])[] {
  const tensors = new Map(given.map((one) => [stateName(one), one.tensor]));
  const pairs = own.map((one) => {
    const name = stateName(one);
    const found = tensors.get(name);
    if (found === undefined) throw new Error(`optimizer state: ${name} is missing`);
    tensors.delete(name);
    const [expected, actual] = [one.tensor, found].map((t) => `${t.dtype} [${t.shape.join(", ")}]`);
    if (expected !== actual)
      throw new Error(`optimizer state: ${name}: expected ${expected}, found ${actual}`);
    return [one.tensor, found] as const;
  });
  for (const name of tensors.keys()) throw new Error(`optimizer state: ${name} belongs to no parameter`);
  return pairs;
}
