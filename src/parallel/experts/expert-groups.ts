// Expert parallelism: each rank of an ep group has some experts of every layer, and tokens go to where their experts are
// (expert-exchange.ts). This file says which experts a rank has; that they are divided further, by rows, among the ranks that
// have the same ones, is FSDP's: the ranks of a shard group lie as dp_shard / ep x ep, the second faster, so that every rank
// has as much of the experts as of all else. Under tensor parallelism each rank has a part of its experts, as of all else; or
// they are whole (expert_tensor_parallel_degree: 1), and the tensor ranks, whose shards of the sequence are tokens of
// their own, are among those that have different ones: then the ranks of the whole model lie so. Source: torchtitan
// (parallel_dims.py).
import { newGroup, type ProcessGroup } from "../../comm/index.ts";
import { mapParameters, type BlockSpec, type ParameterSpec } from "../../nn/index.ts";
import { ExpertExchange } from "./expert-exchange.ts";

export interface ExpertGroups {
  /** Ranks among which the experts are divided. */
  readonly experts: ProcessGroup;
  /** Ranks that have the same experts, and divide them by rows; undefined: this rank alone. */
  readonly same: ProcessGroup | undefined;
}

/** The blocks with the experts of one of `ranks` ranks: equal runs of them, in order. */
export function expertBlocks(
  blocks: readonly BlockSpec[],
  { rank, ranks }: { rank: number; ranks: number },
): BlockSpec[] {
  const isOwn = ({ expert }: ParameterSpec): boolean =>
    expert === undefined || Math.floor(expert.index / (expert.count / ranks)) === rank;
  return blocks.map((block) => mapParameters(block, (spec) => (isOwn(spec) ? spec : undefined)));
}

/** The groups of this rank, of ranks with other tokens each whose number `degree` divides. Every rank calls it. */
export async function expertGroups(all: ProcessGroup, degree: number): Promise<ExpertGroups> {
  const [place, first] = [all.rank % degree, all.rank - (all.rank % degree)];
  const experts = await newGroup(all.ranks.slice(first, first + degree), { description: "experts, ranks" });
  const same = all.ranks.filter((_, i) => i % degree === place);
  return {
    experts,
    same: same.length === 1 ? undefined : await newGroup(same, { description: "same experts, ranks" }),
  };
}

/** What FSDP needs of the experts that this rank has: see FsdpOptions. */
export function expertOptions({ experts, same }: ExpertGroups) {
  return { exchange: new ExpertExchange(experts), group: same };
}
