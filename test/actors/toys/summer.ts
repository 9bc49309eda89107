// An actor for the tests whose ranks talk to each other: sums their numbers with an all-reduce.
import { BaseForgeActor } from "../../../src/actors/index.ts";
import { allReduce, isInitialized, worldGroup } from "../../../src/comm/index.ts";
import { getNumThreads, tensor } from "../../../src/torch/index.ts";

export class Summer extends BaseForgeActor {
  static override readonly collective: readonly string[] = ["sum"];
  ranksAtSetup: number[] = [];

  setup(): void {
    if (isInitialized()) this.ranksAtSetup = [...worldGroup().ranks];
  }

  run(): number {
    return this.sum(this.rank + 1);
  }

  cleanup(): void {}

  sum(mine: number): number {
    const value = tensor([mine]);
    allReduce(value);
    return value.item();
  }

  get threads(): number {
    return getNumThreads();
  }
}
