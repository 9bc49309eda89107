// The degrees of a run as a grid of ranks: axes pp, dp_replicate, dp_shard, cp, tp, the last one fastest, as torchtitan lays
// them out. Says who shares data with whom, checks what must divide what, and makes the process groups. The arithmetic of
// degrees (-1, the product) is the configuration's (config/run/run-spec.ts); what a rank does with its groups is a strategy's.
import { type DeviceMesh, initDeviceMesh, MeshLayout, type ProcessGroup, worldGroup } from "../comm/index.ts";
import type { Degrees, RunSpec } from "../config/index.ts";
import { UserError } from "../util/index.ts";
import { type ExpertGroups, expertGroups } from "./experts/expert-groups.ts";

export type { Degrees } from "../config/index.ts";

/** The axes of the grid, slowest first; experts lie within shard, context and tensor. */
const axes = [
  ["pp", "pipeline"],
  ["dp_replicate", "replicate"],
  ["dp_shard", "shard"],
  ["cp", "context"],
  ["tp", "tensor"],
] as const;

/** What of a model its degrees must divide. */
export interface ModelSizes {
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly intermediateSize: number;
  readonly vocabSize: number;
  /** Undefined: no experts. */
  readonly moe?:
    | {
        readonly numExperts: number;
        readonly intermediateSize: number;
        readonly layers: readonly boolean[];
        /** All experts lie in one tensor. */
        readonly stacked?: object | undefined;
        readonly shared?: { readonly intermediateSize: number } | undefined;
      }
    | undefined;
}

/** The groups of this process that data parallelism speaks in; undefined where an axis has one rank. */
export interface DataGroups {
  readonly mesh: DeviceMesh | undefined;
  /** Ranks that hold the same parameters, and other data. */
  readonly replicate: ProcessGroup | undefined;
  /** Ranks among which the parameters are divided: shard and context. */
  readonly shard: ProcessGroup | undefined;
  /** Ranks whose losses add up: replicate, shard and context. */
  readonly loss: ProcessGroup | undefined;
  /** Ranks that have other chunks of the same rows. */
  readonly context: ProcessGroup | undefined;
  /** Ranks that have other parts of every matrix, and the same data. */
  readonly tensor: ProcessGroup | undefined;
  /** Ranks among which one copy of the model is divided: shard, context and tensor. */
  readonly model: ProcessGroup | undefined;
  /** Within `shard`, or `model` where experts are whole (see wholeExperts); undefined where every rank has all experts. */
  readonly experts: ExpertGroups | undefined;
}

export class ParallelDims {
  readonly degrees: Degrees;
  readonly worldSize: number;

  /** @throws UserError where the product of the degrees is not the number of ranks */
  constructor(degrees: Degrees, worldSize: number) {
    this.degrees = degrees;
    this.worldSize = worldSize;
    const product = axes.reduce((all, [, key]) => all * degrees[key], 1);
    if (product !== worldSize) {
      const equation = axes.map(([name, key]) => `${name} ${degrees[key]}`).join(" x ");
      throw new UserError(
        `${equation} = ${product} ranks, and the run has ${worldSize}; change processes.procs or a degree of parallelism, ` +
          "or set parallelism.data_parallel_shard_degree to -1 to take what is left",
        { exitCode: 2 },
      );
    }
  }

  static of({ degrees, worldSize }: RunSpec): ParallelDims {
    return new ParallelDims(degrees, worldSize);
  }

  /** Whether experts are divided among ranks and tensor parallelism leaves them whole: a tensor group's ranks have other ones. */
  get wholeExperts(): boolean {
    const { tensor, expert, expertTensor } = this.degrees;
    return tensor > 1 && expert > 1 && expertTensor === 1;
  }

  /** The grid of all ranks, axes of one rank left out. Undefined for a single process. */
  get layout(): MeshLayout | undefined {
    const used = axes.filter(([, key]) => this.degrees[key] > 1);
    if (used.length === 0) return undefined;
    return new MeshLayout(
      used.map(([, key]) => this.degrees[key]),
      used.map(([name]) => name),
    );
  }

  /** Which part of the data a rank of the world reads. Ranks that differ in pp, cp or tp alone read the same. */
  dataPart(rank: number): { rank: number; worldSize: number } {
    const { replicate, shard } = this.degrees;
    const { layout } = this;
    const at = (axis: string): number => {
      const index = layout?.axes.indexOf(axis) ?? -1;
      return index < 0 ? 0 : layout!.coordinateOf(rank)![index]!;
    };
    return { rank: at("dp_replicate") * shard + at("dp_shard"), worldSize: replicate * shard };
  }

  /**
   * Checks that the model can be divided so.
   * @param stagesPerRank pipeline stages that each rank runs (2 for interleaved and zero-bubble schedules)
   * @throws UserError with every sum that doesn't come out
   */
  checkModel(model: ModelSizes, stagesPerRank = 1): void {
    const { tensor, pipeline, expert } = this.degrees;
    const problems: string[] = [];
    const mustDivide = (key: string, degree: number, what: string, size: number): boolean => {
      const quotient = size / degree;
      if (Number.isInteger(quotient)) return true;
      const rounded = Number(quotient.toFixed(3));
      problems.push(
        `parallelism.${key} (${degree}) must divide the model's ${what} (${size}): ${size} / ${degree} = ${rounded}`,
      );
      return false;
    };
    const { moe } = model;
    const isDense = moe === undefined || !moe.layers.every(Boolean);
    const divided: readonly (readonly [string, number])[] = [
      ["attention heads", model.numHeads],
      ["key and value heads", model.numKvHeads],
      ...(isDense ? [["feed-forward size", model.intermediateSize] as const] : []),
      ...(moe === undefined || moe.stacked !== undefined || this.wholeExperts
        ? []
        : [["experts' feed-forward size", moe.intermediateSize] as const]),
      ...(moe?.shared === undefined ? [] : [["shared expert's size", moe.shared.intermediateSize] as const]),
      ["vocabulary", model.vocabSize],
    ];
    const fits = divided.map(([what, size]) => mustDivide("tensor_parallel_degree", tensor, what, size));
    if (!fits.every(Boolean)) {
      const common = divided.map(([, size]) => size).reduce(greatestDivisor);
      const allowed = Array.from({ length: common }, (_, i) => i + 1).filter((n) => common % n === 0);
      problems.push(
        `Heads are not copied, and nothing is padded: for this model parallelism.tensor_parallel_degree can be ${allowed.join(", ")}`,
      );
    }
    const stages = pipeline * stagesPerRank;
    if (pipeline > 1 && stages > model.numLayers) {
      problems.push(
        `parallelism.pipeline_parallel_degree (${pipeline}) x ${stagesPerRank} stages a rank = ${stages} stages, and the model has ${model.numLayers} layers`,
      );
    }
    if (expert > 1 && moe === undefined) {
      problems.push(`parallelism.expert_parallel_degree (${expert}) needs a mixture-of-experts model`);
    } else if (expert > 1 && moe?.stacked !== undefined) {
      problems.push(
        `parallelism.expert_parallel_degree (${expert}): this model's experts lie in one tensor, which isn't divided by experts. Set it to 1; data_parallel_shard_degree divides the tensor`,
      );
    } else if (moe !== undefined) {
      mustDivide("expert_parallel_degree", expert, "experts", moe.numExperts);
    }
    if (problems.length > 0) throw new UserError(problems.join("\n"), { exitCode: 2 });
  }

  /**
   * Makes the groups; every rank of the world calls it.
   * @throws UserError where the world has another number of ranks
   */
  async groups(deviceType: string): Promise<DataGroups> {
    const { layout } = this;
    if (layout === undefined) {
      return {
        mesh: undefined,
        replicate: undefined,
        shard: undefined,
        loss: undefined,
        context: undefined,
        tensor: undefined,
        model: undefined,
        experts: undefined,
      };
    }
    const world = worldGroup();
    if (world.size !== this.worldSize) {
      throw new UserError(
        `processes.procs: expected ${world.size}, the number of ranks that were started, found ${this.worldSize}`,
        { exitCode: 2 },
      );
    }
    const mesh = await initDeviceMesh(deviceType, layout.shape, layout.axes);
    // One after the other, in the same order on every rank.
    const over = async (...names: string[]): Promise<ProcessGroup | undefined> => {
      const present = names.filter((name) => layout.axes.includes(name));
      return present.length === 0 ? undefined : await mesh.flatten(present);
    };
    const replicate = await over("dp_replicate");
    const shard = await over("dp_shard", "cp");
    const loss = await over("dp_replicate", "dp_shard", "cp");
    const context = await over("cp");
    const tensor = await over("tp");
    const model = await over("dp_shard", "cp", "tp");
    const { expert } = this.degrees;
    const experts = expert > 1 ? await expertGroups((this.wholeExperts ? model : shard)!, expert) : undefined;
    return { mesh, replicate, shard, loss, context, tensor, model, experts };
  }
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
