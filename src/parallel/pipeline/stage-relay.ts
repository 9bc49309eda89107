// Runs the stages of a pipeline without a schedule: one after the other, each on its rank, for a forward pass of few rows
// (generation). Every rank waits for the whole pass.
import { broadcast, type ProcessGroup } from "../../comm/index.ts";
import { empty, type Tensor } from "../../torch/index.ts";
import { agree } from "../agree.ts";
import type { Stage } from "./stages.ts";

/** What a relay needs of a PipelinePlace. */
interface RelayPlace {
  readonly stages: readonly Stage[];
  readonly rankOf: readonly number[];
  readonly group: ProcessGroup;
}

export class StageRelay {
  readonly #at: RelayPlace;

  constructor(at: RelayPlace) {
    this.#at = at;
  }

  /**
   * Calls `body` for each stage of this rank with what the stage before it gave: [R, D] of `like`'s dtype and device. All
   * ranks call it. Gives what the last stage gave, on the rank that has it.
   */
  run(
    body: (stage: Stage, x: Tensor | undefined) => Tensor,
    like: Pick<Tensor, "dtype" | "device">,
  ): Tensor | undefined {
    const { stages, rankOf, group } = this.#at;
    let x: Tensor | undefined;
    for (const stage of stages) {
      const rank = rankOf[stage.index]!;
      const made = rank === group.rank ? body(stage, x) : undefined;
      if (stage === stages.at(-1)) return made;
      const shape = agree(made?.shape ?? [0, 0], group, rank);
      x = made?.contiguous() ?? empty(shape, { dtype: like.dtype, device: like.device });
      broadcast(x, { group, src: group.ranks[rank]! });
    }
    return undefined;
  }

  /** Broadcasts the last stage's numbers to every rank. */
  agree(numbers: readonly number[]): number[] {
    const { rankOf, group } = this.#at;
    return agree(numbers, group, rankOf.at(-1));
  }
}
