// Actors for the tests that fail in their own ways.
import { BaseForgeActor } from "../../../src/actors/index.ts";
import { allReduce } from "../../../src/comm/index.ts";
import { ones } from "../../../src/torch/index.ts";
import { Counter, Trouble } from "./counter.ts";

/** Its cleanup fails, whatever came before. */
export class Clumsy extends Counter {
  override async cleanup(): Promise<void> {
    await super.cleanup();
    throw new Trouble("dropped something");
  }
}

/** Dies, or throws, when it is made on rank 1 (or alone). */
export class Stillborn extends Counter {
  constructor(...args: ConstructorParameters<typeof Counter>) {
    super(...args);
    if (this.rank !== this.worldSize - 1) return;
    console.error("last words");
    if (this.config.job.description === "kill") process.kill(process.pid, "SIGKILL");
    throw new Trouble("not today");
  }
}

/** Rank 0 waits in a collective for rank 1, which hangs: idle, busy, or gone. */
export class Waiter extends BaseForgeActor {
  setup(): void {}

  async run(): Promise<void> {
    if (this.rank === 0) {
      const value = ones([2]);
      allReduce(value);
      return;
    }
    const { description } = this.config.job;
    console.error("I wait");
    if (description === "throw") throw new Error("boom");
    if (description === "spin") for (;;);
    if (description === "kill") process.kill(process.pid, "SIGKILL");
    await new Promise(() => setInterval(() => undefined, 1000));
  }

  cleanup(): void {
    this.note("cleaned up");
  }
}
