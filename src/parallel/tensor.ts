// Tensor parallelism: each rank of a tp group has a part of every matrix, and all of them read the same rows. Column layers
// (q, k, v, gate, up) are divided along their outputs, row layers (o, down) along their inputs, embedding and head along the
// vocabulary; the rest (norms, biases of row layers) every rank has, and applies to its own stretch of the sequence. What a
// layer computes with its part is tensor-region.ts's and the model's; data parallelism of the parts is the inner strategy's.
// Source: Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053; Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198.
import { allReduce, allReduceCoalesced, type ProcessGroup } from "../comm/index.ts";
import { gradientsOf, sumOfSquares } from "../optim/index.ts";
import { float64, fromArray, scope, type Tensor } from "../torch/index.ts";
import type { ExpertExchange } from "./expert-exchange.ts";
import { expertOf } from "./experts.ts";
import type { BlockSpec, Pass, Rows, ShardPlace, Strategy } from "./strategy.ts";
import type { TensorRegion } from "./tensor-region.ts";

export type TensorSplit = "column" | "row" | "vocabulary";

const splits: readonly (readonly [RegExp, TensorSplit])[] = [
  [/\.(q_proj|k_proj|v_proj|gate_proj|up_proj|w1|w3)\.(weight|bias)$/, "column"],
  [/\.(o_proj|down_proj|w2)\.weight$/, "row"],
  [/(^|\.)(embed_tokens|lm_head)\.weight$/, "vocabulary"],
];

/** How a parameter (by its Hugging Face name) is divided; undefined: every rank has all of it. */
export function tensorSplit(name: string): TensorSplit | undefined {
  return splits.find(([pattern]) => pattern.test(name))?.[1];
}

const dimOf = (split: TensorSplit): 0 | 1 => (split === "row" ? 1 : 0);

/**
 * The blocks with the shapes that one of `ranks` ranks has. Sizes must divide: see ParallelDims.checkModel.
 * @param wholeExperts as TensorRegion's: experts stay as they are
 */
export function tensorBlocks(blocks: readonly BlockSpec[], ranks: number, wholeExperts = false): BlockSpec[] {
  return blocks.map((block) => ({
    ...block,
    parameters: new Map(
      [...block.parameters].map(([name, shape]) => {
        const split = tensorSplit(name);
        if (split === undefined || (wholeExperts && expertOf(name) !== undefined))
          return [name, shape] as const;
        const dim = dimOf(split);
        return [name, shape.with(dim, shape[dim]! / ranks)] as const;
      }),
    ),
  }));
}

/** Which entries of the whole parameter a rank holds, from which rows of the tp rank's part the inner strategy has. */
function rowsOf(name: string, shape: readonly number[], inner: Rows | undefined, at: Place): Rows {
  const size = shape[0]!;
  const own: Rows = inner ?? { dim: 0, start: 0, length: size, of: size };
  if (at.wholeExperts && expertOf(name) !== undefined) return own;
  const split = tensorSplit(name);
  if (split === undefined) return { ...own, isCopy: at.rank > 0 };
  if (dimOf(split) === 0) return { ...own, start: at.rank * size + own.start, of: size * at.ranks };
  const width = shape[1]!;
  return { ...own, columns: { start: at.rank * width, length: width, of: width * at.ranks } };
}

interface Place {
  readonly rank: number;
  readonly ranks: number;
  readonly wholeExperts: boolean;
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

export class TensorParallel implements Strategy {
  readonly region: TensorRegion;
  readonly rows: ReadonlyMap<string, Rows>;
  readonly place: ShardPlace;
  readonly #inner: Strategy;
  readonly #group: ProcessGroup;
  readonly #model: ProcessGroup;

  constructor(inner: Strategy, { region, blocks, group, model }: TensorParallelOptions) {
    this.region = region;
    this.#inner = inner;
    this.#group = group;
    this.#model = model;
    const { wholeExperts } = region;
    const at = { rank: group.rank, ranks: group.size, wholeExperts };
    this.rows = new Map(
      blocks
        .flatMap(({ parameters }) => [...parameters])
        .map(([name, shape]) => [name, rowsOf(name, shape, inner.rows.get(name), at)]),
    );
    const { replica, firstOf } = inner.place;
    this.place = {
      index: model.rank,
      count: model.size,
      replica,
      firstOf: group.rank === 0 || wholeExperts ? firstOf : undefined,
    };
  }

  get exchange(): ExpertExchange | undefined {
    return this.#inner.exchange;
  }
  get full(): ReadonlyMap<string, Tensor> {
    return this.#inner.full;
  }
  get parameters(): ReadonlyMap<string, Tensor> {
    return this.#inner.parameters;
  }
  begin(pass: Pass): void {
    this.#inner.begin(pass);
  }
  beforeForward(block: number): void {
    this.#inner.beforeForward(block);
  }
  afterForward(block: number): void {
    this.#inner.afterForward(block);
  }
  beforeBackward(block: number): void {
    this.#inner.beforeBackward(block);
  }
  afterBackward(block: number): void {
    this.#inner.afterBackward(block);
  }

  /**
   * Of the parameters that every rank has, each rank's gradient is of its own stretch of the sequence, or its own heads.
   * Experts aren't among them: whole ones, too, are this rank's or its rows, with the tokens of all.
   */
  finishGradients(): void {
    this.#inner.finishGradients();
    const shared = gradientsOf(this.#parameters(false));
    if (shared.length > 0) allReduceCoalesced(shared, { group: this.#group });
  }

  gradNorm(): number {
    using s = scope();
    void s;
    // What every rank of the group has counts once.
    const own = sumOfSquares(gradientsOf(this.#parameters(true)));
    const shared = this.#group.rank === 0 ? sumOfSquares(gradientsOf(this.#parameters(false))) : 0;
    const squares = fromArray([own + shared], { dtype: float64 });
    return Math.sqrt(allReduce(squares, { group: this.#model }).item());
  }

  #parameters(divided: boolean): Tensor[] {
    return [...this.parameters]
      .filter(([name, one]) => (tensorSplit(name) !== undefined) === divided && one.numel() > 0)
      .map(([, one]) => one);
  }

  /** Every rank then has its whole part; tokens are computed by all, since a generated one can't be divided. */
  gatherAll(): void {
    this.#inner.gatherAll();
    this.region.dividesSequence = false;
  }
  release(): void {
    this.region.dividesSequence = true;
    this.#inner.release();
  }
}
