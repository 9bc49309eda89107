// The seam of a layer whose experts are divided among ranks: each rank has some experts and tokens of its own. Pairs of
// token and expert, sorted by expert and so by rank, go to the expert's rank with the weight of its result; what the experts
// make of them comes back. Both ways are all-to-alls of uneven parts, each the other's gradient. Holds no parameters, and
// knows no router.
// Source: Lepikhin et al. 2020 (GShard), https://arxiv.org/abs/2006.16668; torchtitan's ExpertParallel.
import { differentiable, functional, isSimulated, type ProcessGroup } from "../../comm/index.ts";
import type * as nn from "../../nn/index.ts";
import { arange, argsort, fused, noGrad, type Tensor } from "../../torch/index.ts";
import { agree } from "../agree.ts";

export class ExpertExchange implements nn.ExpertExchange {
  readonly #group: ProcessGroup;

  /** @param group the ranks among which the experts are divided, in their order: rank r has the r-th part */
  constructor(group: ProcessGroup) {
    this.#group = group;
  }

  /** All ranks of the group call it: [T, D] to [T, D]. Differentiable, and backward is collective, too. */
  run(x: Tensor, { order, weights, counts }: nn.ExpertChoice, experts: nn.RunExperts): Tensor {
    const group = this.#group;
    const choices = weights.size(1);
    const { ofRanks, theirs, inputSplits, outputSplits } = this.#tellCounts(counts);
    const there = { group, inputSplits, outputSplits };
    const back = { group, inputSplits: outputSplits, outputSplits: inputSplits };
    const rows = differentiable.allToAll(fused.spreadRows(x, order, choices), there);
    const sorted = weights.reshape([-1, 1]).indexSelect(0, order);
    const byWeights = differentiable.allToAll(sorted, there);
    // What came lies rank after rank, each rank's sorted by expert.
    const expertOf = arange(ofRanks.size(1), { device: theirs.device }).repeat([group.size]);
    const expertOfRow = expertOf.repeatInterleave(theirs).to(x.device);
    const made = experts(rows, {
      order: argsort(expertOfRow, { stable: true }),
      weights: byWeights,
      counts: ofRanks.sum([0]),
    });
    return fused.collectRows(differentiable.allToAll(made, back), order, choices);
  }

  /** What each rank sends to each expert of this one: [ranks, own experts], and the rows that go and come by rank. */
  #tellCounts(counts: Tensor) {
    return noGrad(() => {
      const group = this.#group;
      const came = functional.allToAllSingle(counts, { group });
      // Ranks that aren't there send what this one would.
      const theirs = isSimulated() ? counts.chunk(group.size)[group.rank]!.repeat([group.size]) : came;
      const ofRanks = theirs.view([group.size, -1]);
      const sums = (of: Tensor) => of.view([group.size, -1]).sum([1]).tolist() as number[];
      return { ofRanks, theirs, inputSplits: sums(counts), outputSplits: sums(theirs) };
    });
  }

  /** The first rank's numbers, on every rank: for choices that chance makes. */
  agree(numbers: readonly number[]): number[] {
    return agree(numbers, this.#group);
  }
}
