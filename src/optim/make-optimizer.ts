// The one place that knows which optimizers there are. A new one is its own file, its line in `optimizers`, and its name in
// the configuration's enum (`optimizer.name`).
import type { Tensor } from "../torch/index.ts";
import { Adam, AdamW, type AdamOptions } from "./adamw.ts";
import type { ParameterSize } from "./moments.ts";
import type { Optimizer } from "./optimizer.ts";

/** A class of optimizers. */
interface OptimizerClass {
  new (parameters: Iterable<readonly [string, Tensor]>, options: OptimizerOptions): Optimizer;
  /** Bytes of the state of one parameter, for forecasts. */
  stateBytes(parameter: ParameterSize, options: OptimizerOptions): number;
}

const optimizers = { AdamW, Adam } satisfies Record<string, OptimizerClass>;

/** The configuration's `optimizer` section. Each optimizer takes its own options from it. */
export interface OptimizerOptions extends AdamOptions {
  /** Default: AdamW. */
  readonly name?: keyof typeof optimizers;
}

/**
 * The optimizer of the configuration. Its state is allocated in the scope that is open now: make it where the parameters
 * live.
 * @throws Error for a name given twice, and for a parameter that isn't floating point
 */
export function makeOptimizer(
  options: OptimizerOptions,
  parameters: Iterable<readonly [string, Tensor]>,
): Optimizer {
  return new optimizers[options.name ?? "AdamW"](parameters, options);
}

/** Bytes of the state that this optimizer keeps for a parameter. */
export function optimizerStateBytes(options: OptimizerOptions, parameter: ParameterSize): number {
  return optimizers[options.name ?? "AdamW"].stateBytes(parameter, options);
}
