// Pipeline parallelism as a strategy: this rank's stages' parameters, divided and summed by whatever data and tensor
// parallelism there is among the ranks of the same stages, and what the stages must agree on: the tied embedding's gradient,
// the norm, the loss. Running the schedule is train/engine/pipeline-step.ts's.
import { allReduce, newGroup, type DeviceMesh, type ProcessGroup } from "../../comm/index.ts";
import { blockOf, parametersOf, tiedNames, type BlockSpec, type ShardSlice } from "../../nn/index.ts";
import { float64, fromArray, noGrad, scope } from "../../torch/index.ts";
import { ranksOfStages, type ScheduleName } from "./schedule.ts";
import { StageRelay } from "./stage-relay.ts";
import { splitStages, type Stage } from "./stages.ts";
import { StrategyWrapper } from "../strategies/wrapper.ts";
import type { ShardOwnership, Strategy } from "../strategy.ts";
import type { TensorRegion } from "../tensor/tensor-region.ts";

/** Which blocks this rank has, and which ranks it communicates with. */
export interface PipelinePlace {
  readonly schedule: ScheduleName;
  readonly stages: readonly Stage[];
  /** The rank, in `group`, of each stage. */
  readonly rankOf: readonly number[];
  readonly group: ProcessGroup;
  /**
   * The same ranks, for messages to ranks of lower numbers: NCCL has one queue for a pair of ranks, and in a queue of both
   * directions two ranks that send at once would wait for each other.
   */
  readonly back: ProcessGroup;
  /** This rank's blocks, by their numbers in the whole model, in order. */
  readonly blocks: readonly number[];
  /** Their specifications: where the tied embedding is another rank's, the head has a copy of its own. */
  readonly specs: readonly BlockSpec[];
  /** The parameter that first and last stage both have, and the two ranks; undefined where one rank has both. */
  readonly tied:
    | { readonly name: string; readonly group: ProcessGroup; readonly isCopy: boolean }
    | undefined;
}

/**
 * Divides a model's blocks among the ranks of the axis `pp`. Every rank of the mesh calls it.
 * @param costs of each block, in any unit
 */
export async function placePipeline(
  schedule: ScheduleName,
  mesh: DeviceMesh,
  specs: readonly BlockSpec[],
  costs: readonly number[],
): Promise<PipelinePlace> {
  const group = mesh.group("pp");
  const back = await newGroup(group.ranks, { description: "pipeline backwards, ranks" });
  const rankOf = ranksOfStages(schedule, group.size);
  const stages = splitStages(costs, rankOf.length);
  const { blocks, specs: own } = blocksOfRank(specs, stages, rankOf, group.rank);
  const [name] = tiedNames(specs).values();
  const [first, last] = [rankOf[0]!, rankOf.at(-1)!];
  let tied: PipelinePlace["tied"];
  if (name !== undefined && first !== last && (group.rank === first || group.rank === last)) {
    const both = [group.ranks[first]!, group.ranks[last]!];
    const pair = group.size === 2 ? group : await newGroup(both, { description: "tied embedding, ranks" });
    tied = { name, group: pair, isCopy: parametersOf(own).get(name)!.isCopy ?? false };
  }
  return { schedule, stages, rankOf, group, back, blocks, specs: own, tied };
}

/** A rank's blocks; a tied parameter whose own block is another rank's is a copy (`isCopy`). Pure arithmetic. */
export function blocksOfRank(
  specs: readonly BlockSpec[],
  stages: readonly Stage[],
  rankOf: readonly number[],
  rank: number,
): { blocks: number[]; specs: BlockSpec[] } {
  const blocks = stages
    .filter(({ index }) => rankOf[index] === rank)
    .flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i));
  const mine = parametersOf(blocks.map((block) => specs[block]!));
  const all = parametersOf(specs);
  const own = blocks.map((block): BlockSpec => {
    const { parameters, tied, ...spec } = specs[block]!;
    const missing = tied?.filter(({ tiedTo }) => !mine.has(tiedTo!)) ?? [];
    if (missing.length === 0) return specs[block]!;
    const copies = missing.map(({ tiedTo }) => ({ ...all.get(tiedTo!)!, isCopy: true }));
    return blockOf([...parameters.values(), ...copies], spec);
  });
  return { blocks, specs: own };
}

export class Pipeline extends StrategyWrapper implements Strategy {
  readonly at: PipelinePlace;
  readonly relay: StageRelay;
  /** From a block's number in the model to that in the inner strategy. */
  readonly #local: ReadonlyMap<number, number>;

  /** @param inner made with `at.specs` */
  constructor(at: PipelinePlace, inner: Strategy) {
    super(inner);
    this.at = at;
    this.relay = new StageRelay(at);
    this.#local = new Map(at.blocks.map((block, i) => [block, i]));
  }

  get slices(): ReadonlyMap<string, ShardSlice> {
    return this.inner.slices;
  }
  get region(): TensorRegion | undefined {
    return this.inner.region;
  }
  /** Ranks of the first stages come first. */
  get ownership(): ShardOwnership {
    const { index, count, replica, saved } = this.inner.ownership;
    const { group } = this.at;
    return { index: group.rank * count + index, count: group.size * count, replica, saved };
  }

  protected override innerBlock(block: number): number {
    return this.#local.get(block)!;
  }

  /** Both stages of a tied embedding get the sum of its gradients, and so update it equally. */
  finishGradients(): void {
    this.inner.finishGradients();
    const { tied } = this.at;
    const parameter = tied && this.trained.get(tied.name);
    if (tied === undefined || parameter === undefined || parameter.numel() === 0) return;
    using _ = scope();
    const own = parameter.grad!;
    const whole = own.isContiguous() ? own : noGrad(() => own.contiguous());
    allReduce(whole, { group: tied.group });
    if (whole !== own) parameter.grad = whole;
  }

  gradNorm(names?: readonly string[]): number {
    const { tied } = this.at;
    const copy = tied?.isCopy === true ? this.trained.get(tied.name) : undefined;
    // Counted by another rank already.
    const hidden = copy?.grad;
    if (copy !== undefined) copy.grad = undefined;
    const norm = this.inner.gradNorm(names);
    if (copy !== undefined) copy.grad = hidden;
    return Math.sqrt(this.sum(norm * norm));
  }

  /** The sum of a number over the stages. */
  sum(value: number): number {
    using _ = scope();
    return allReduce(fromArray([value], { dtype: float64 }), { group: this.at.group }).item();
  }
}
