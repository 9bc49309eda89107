import { broadcast, type ProcessGroup } from "../comm/index.ts";
import { fromTypedArray } from "../torch/index.ts";

/** The numbers of one of a group's ranks, the first unless told, on every rank: for choices that chance makes. */
export function agree(numbers: readonly number[], group: ProcessGroup, rank = 0): number[] {
  const ids = fromTypedArray(BigInt64Array.from(numbers, BigInt), [numbers.length]);
  const sent = group.backend === "nccl" ? ids.to("cuda") : ids;
  broadcast(sent, { group, src: group.ranks[rank]! });
  return sent.tolist() as number[];
}
