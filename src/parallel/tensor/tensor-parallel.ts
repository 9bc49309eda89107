// Tensor parallelism: each rank of a tp group has a part of every matrix, and all of them read the same rows. Column layers
// (q, k, v, gate, up) are divided along their outputs, row layers (o, down) along their inputs, embedding and head along the
// vocabulary; the rest (norms, biases of row layers) every rank has, and applies to its own shard of the sequence. What a
// layer computes with its part is tensor-region.ts's and the model's; data parallelism of the parts is the inner strategy's.
// Source: Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053; Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198.
import { allReduce, allReduceCoalesced, type ProcessGroup } from "../../comm/index.ts";
import {
  isQuantized,
  mapParameters,
  parametersOf,
  type BlockSpec,
  type ParameterSpec,
  type ShardSlice,
} from "../../nn/index.ts";
import { gradientsOf, sumOfSquares } from "../../optim/index.ts";
import { float64, fromArray, scope, type Tensor } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";
import { StrategyWrapper } from "../strategies/wrapper.ts";
import { chosen, type Pass, type ShardOwnership, type Strategy } from "../strategy.ts";
import type { TensorRegion } from "./tensor-region.ts";

/** The dimension along which a parameter is divided; undefined: every rank has all of it. */
function dividedDim({ split, expert }: ParameterSpec, wholeExperts: boolean): 0 | 1 | undefined {
  if (split === "none" || (wholeExperts && expert !== undefined)) return undefined;
  return split === "row" ? 1 : 0;
}

/**
 * The blocks with the shapes that one of `ranks` ranks has. Sizes must divide: see ParallelDims.checkModel.
 * @param wholeExperts as TensorRegion's: experts stay as they are
 */
export function tensorBlocks(blocks: readonly BlockSpec[], ranks: number, wholeExperts = false): BlockSpec[] {
  return blocks.map((block) =>
    mapParameters(block, (spec) => {
      const dim = dividedDim(spec, wholeExperts);
      if (dim === undefined) return spec;
      const part = { ...spec, shape: spec.shape.with(dim, spec.shape[dim]! / ranks) };
      refuseSplitBlocks(spec, part, ranks);
      return part;
    }),
  );
}

/** @throws UserError where a rank's columns of a quantized matrix would end within a block */
function refuseSplitBlocks(
  { name, storage, shape }: ParameterSpec,
  part: ParameterSpec,
  ranks: number,
): void {
  if (!isQuantized(storage) || part.shape[1]! % storage.columnBlock === 0) return;
  throw new UserError(
    `parallelism.tensor_parallel_degree (${ranks}): each rank gets ${part.shape[1]} of the ${shape[1]} columns of ${name}, and ${storage.name} has blocks of ${storage.columnBlock}, which can't be divided; choose a smaller degree, or quantize.base=int8`,
    { exitCode: 2 },
  );
}

interface Place {
  readonly rank: number;
  readonly ranks: number;
  readonly wholeExperts: boolean;
}

/**
 * Which slice of the whole parameter a rank holds.
 * @param spec with the shape of the tensor rank's part
 * @param inner what of that part the inner strategy has
 */
function sliceOfWhole(spec: ParameterSpec, inner: ShardSlice | undefined, at: Place): ShardSlice {
  const [rows, columns] = spec.shape as [number, number];
  const own: ShardSlice = inner ?? { dim: 0, start: 0, length: rows, of: rows };
  const dim = dividedDim(spec, at.wholeExperts);
  if (dim === undefined) return own;
  if (dim === 0) return { ...own, start: at.rank * rows + own.start, of: rows * at.ranks };
  return { ...own, columns: { start: at.rank * columns, length: columns, of: columns * at.ranks } };
}

export interface TensorParallelOptions {
  /** What the layers compute with. */
  readonly region: TensorRegion;
  /** The blocks that the inner strategy was made with: those of `tensorBlocks`. */
  readonly blocks: readonly BlockSpec[];
  /** Ranks that have the same part and read the same rows' other parts: the tp group. */
  readonly group: ProcessGroup;
  /** All ranks among which one copy of the model is divided: the tp group with those of the inner strategy. */
  readonly model: ProcessGroup;
}

export class TensorParallel extends StrategyWrapper implements Strategy {
  readonly region: TensorRegion;
  readonly slices: ReadonlyMap<string, ShardSlice>;
  readonly ownership: ShardOwnership;
  /** Trained parameters of which each tensor rank has a part, and those that every one has. */
  readonly #divided: ReadonlyMap<string, Tensor>;
  readonly #shared: ReadonlyMap<string, Tensor>;
  readonly #group: ProcessGroup;
  readonly #model: ProcessGroup;

  constructor(inner: Strategy, { region, blocks, group, model }: TensorParallelOptions) {
    super(inner);
    this.region = region;
    this.#group = group;
    this.#model = model;
    const { wholeExperts } = region;
    const at = { rank: group.rank, ranks: group.size, wholeExperts };
    const specs = parametersOf(blocks);
    this.slices = new Map(
      [...specs].map(([name, spec]) => [name, sliceOfWhole(spec, inner.slices.get(name), at)]),
    );
    const isShared = (name: string): boolean => specs.get(name)!.split === "none";
    const trained = [...inner.trained].filter(([, tensor]) => tensor.numel() > 0);
    this.#divided = new Map(trained.filter(([name]) => !isShared(name)));
    this.#shared = new Map(trained.filter(([name]) => isShared(name)));
    // What every tensor rank has, the first saves.
    const saved = [...inner.ownership.saved].filter((name) => group.rank === 0 || !isShared(name));
    this.ownership = {
      index: model.rank,
      count: model.size,
      replica: inner.ownership.replica,
      saved: new Set(saved),
    };
  }

  override begin(pass: Pass): void {
    const { onGradients } = pass;
    if (onGradients === undefined) return super.begin(pass);
    super.begin({
      ...pass,
      onGradients: (names) => {
        this.#sumShared(names);
        onGradients(names);
      },
    });
  }

  /**
   * Of the parameters that every rank has, each rank's gradient is of its own shard of the sequence, or its own heads.
   * Experts aren't among them: whole ones, too, are this rank's or its rows, with the tokens of all.
   */
  finishGradients(): void {
    this.inner.finishGradients();
    this.#sumShared();
  }

  #sumShared(names?: readonly string[]): void {
    const shared = gradientsOf(chosen(this.#shared, names));
    if (shared.length > 0) allReduceCoalesced(shared, { group: this.#group });
  }

  gradNorm(names?: readonly string[]): number {
    using _ = scope();
    // What every rank of the group has counts once.
    const own = sumOfSquares(gradientsOf(chosen(this.#divided, names)));
    const shared = this.#group.rank === 0 ? sumOfSquares(gradientsOf(chosen(this.#shared, names))) : 0;
    const squares = fromArray([own + shared], { dtype: float64 });
    return Math.sqrt(allReduce(squares, { group: this.#model }).item());
  }

  /** Every rank then has its whole part; tokens are computed by all, since a generated one can't be divided. */
  override gatherAll(): void {
    super.gatherAll();
    this.region.dividesSequence = false;
  }
  override release(): void {
    this.region.dividesSequence = true;
    super.release();
  }
}
