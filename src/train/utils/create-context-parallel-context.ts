// Context parallelism by hand: this rank's chunks of a batch, and what a decoder needs so that its attention meets that of
// the other ranks. The trainer makes the same for each of its micro-batches (train/engine/micro-batch.ts).
import type { ParallelDims } from "../../actors/index.ts";
import type { ContextShard } from "../../parallel/index.ts";
import type { Tensor } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";

/** A step's batch under context parallelism. Ending it (`using`) frees the tensors that it made. */
export interface ContextParallelContext extends Disposable {
  /** Ranks among which each sequence is sharded. */
  readonly degree: number;
  /** This one's number among them. */
  readonly rank: number;
  readonly rotateMethod: "allgather" | "alltoall";
  /** This rank's chunks: [B, S / degree], of each sequence first that of its head, then that of its tail. */
  readonly inputs: Tensor;
  readonly labels: Tensor;
  /** What a decoder's `hidden` and its layers take beside the flattened `inputs`. */
  readonly sequence: {
    /** In their documents: [B * S / degree]. */
    readonly positions: Tensor;
    readonly lengths: readonly number[];
    readonly shard: ContextShard;
  };
  /** All ranks' parts [B, S / degree, …] together: [B, S, …]. Differentiable; every rank calls it. */
  gather(part: Tensor): Tensor;
}

/** A model, or a part of it, that has tables of positions. */
export interface ModelPart {
  prepare(positions: number): void;
}

/**
 * The context in which a step's sequences are divided among the ranks of `parallelDims.context`. Every rank calls it, with
 * the same batch; the process group must be there (initProcessGroup of torchforge/comm, or a spawned actor's).
 * @param parallelDims an actor's `parallelDims`; axes that it lacks have one rank
 * @param inputs tokens: [B, S], S a multiple of 2 x context
 * @param labels of the same shape
 * @param modelParts whose position tables are made long enough
 * @param rotateMethod `parallelism.context_parallel_rotate_method`
 * @param documentLengths of each sequence's documents; default: each is one
 * @returns undefined where context parallelism is off (a degree of 1)
 * @throws UserError for shapes that can't be sharded so, and without a process group
 */
export async function createContextParallelContext(
  parallelDims: Pick<ParallelDims, "context"> & Partial<ParallelDims>,
  inputs: Tensor,
  labels: Tensor,
  modelParts: readonly ModelPart[],
  rotateMethod: "allgather" | "alltoall" = "allgather",
  documentLengths?: readonly (readonly number[])[],
): Promise<ContextParallelContext | undefined> {
  const degree = parallelDims.context;
  if (degree === 1) return undefined;
  const { rows, length } = shapeOf(inputs, labels, degree);
  const documents = documentLengths ?? Array.from({ length: rows }, () => [length]);
  checkDocuments(documents, rows, length);
  const [{ ContextRegion, contextGroup }, { cat, fromTypedArray, int64, noGrad, scope }] = await Promise.all([
    import("../../parallel/index.ts"),
    import("../../torch/index.ts"),
  ]);
  const region = new ContextRegion(await contextGroup(parallelDims), rotateMethod);
  const shard = region.shard(documents);
  for (const part of modelParts) part.prepare(Math.max(1, ...shard.lengths));

  // Said without `using`, as in all that the package's entry loads: an older Node, which can't read it, is told what it needs.
  const s = scope();
  try {
    // Chunks of all sequences are of one length, so those of the first say where they lie.
    const own = (whole: Tensor): Tensor =>
      noGrad(() =>
        cat(
          shard.chunks.slice(0, 2).map(({ from, to }) => whole.narrow(1, from, to - from)),
          1,
        ),
      );
    const places = documents.flat().flatMap((one) => Array.from({ length: one }, (_, i) => i));
    const positions = fromTypedArray(Int32Array.from(places), [rows, length], {
      dtype: int64,
      device: inputs.device,
    });
    const made = {
      inputs: s.keep(own(inputs)),
      labels: s.keep(own(labels)),
      positions: s.keep(own(positions).reshape([-1])),
    };
    return {
      degree,
      rank: region.rank,
      rotateMethod,
      inputs: made.inputs,
      labels: made.labels,
      sequence: { positions: made.positions, lengths: shard.lengths, shard },
      gather: (part) => {
        const rest = part.shape.slice(2);
        return shard.gather(part.reshape([-1, ...rest])).reshape([rows, length, ...rest]);
      },
      [Symbol.dispose]: () => {
        for (const one of Object.values(made)) one.dispose();
      },
    };
  } finally {
    s[Symbol.dispose]();
  }
}

function shapeOf(inputs: Tensor, labels: Tensor, degree: number): { rows: number; length: number } {
  const [rows, length] = inputs.shape;
  const shapes = `[${inputs.shape.join(", ")}] and [${labels.shape.join(", ")}]`;
  if (inputs.shape.length !== 2 || rows === 0 || inputs.shape.join() !== labels.shape.join()) {
    throw new UserError(
      `createContextParallelContext: expected inputs and labels of one shape [sequences, positions], found ${shapes}`,
    );
  }
  if (length! % (2 * degree) !== 0 || length === 0) {
    throw new UserError(
      `createContextParallelContext: inputs: ${length} positions must be a multiple of 2 × parallelism.context_parallel_degree (${degree}) = ${2 * degree}; pad them, with labels of -100`,
    );
  }
  return { rows: rows!, length: length! };
}

function checkDocuments(documents: readonly (readonly number[])[], rows: number, length: number): void {
  const sums = documents.map((lengths) => lengths.reduce((sum, one) => sum + one, 0));
  if (sums.length === rows && sums.every((sum) => sum === length)) return;
  throw new UserError(
    `createContextParallelContext: documentLengths: expected those of ${rows} sequences, each summing to ${length}, found sums of ${sums.join(", ") || "none"}`,
  );
}
