// Context parallelism: dividing the sequence among ranks.
import type { ParallelDims } from "../../actors/index.ts";
import type { Tensor } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";

/** What a step runs in under context parallelism. */
export interface ContextParallelContext extends Disposable {
  readonly degree: number;
}

/**
 * The context in which a step's sequence is divided among the ranks of `parallelDims.context`.
 * @param rotateMethod `parallelism.context_parallel_rotate_method`
 * @returns undefined where context parallelism is off (a degree of 1)
 */
export function createContextParallelContext(
  parallelDims: Pick<ParallelDims, "context">,
  _inputs: Tensor,
  _labels: Tensor,
  _modelParts: readonly unknown[],
  _rotateMethod: "allgather" | "alltoall" = "allgather",
): ContextParallelContext | undefined {
  if (parallelDims.context === 1) return undefined;
  throw new UserError(
    `parallelism.context_parallel_degree: ${parallelDims.context} is not supported yet; use 1, with processes.procs: 1`,
    { exitCode: 2 },
  );
}
