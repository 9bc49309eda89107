// The trainer of bench:notebook: runs blocks of steps whose records are told as usual, and blocks whose records stay in the
// process, in turn.
import { TrainerActor } from "../src/index.ts";
import type { MetricRecord } from "../src/metrics/index.ts";

/** Milliseconds of a step, block by block, without the first two blocks, which warm up. */
export interface Blocks {
  told: number[];
  silent: number[];
  /** Milliseconds that telling a record keeps the training thread. */
  tell: number[];
}

export class BlockTrainer extends TrainerActor {
  #isSilent = false;
  #tell: number[] = [];

  /** @see job.description: how many blocks of each kind, and steps of a block */
  override async run(): Promise<never> {
    const [rounds, steps] = this.config.job.description.split(" ").map(Number) as [number, number];
    const blocks: Blocks = { told: [], silent: [], tell: [] };
    for (let i = -1; i < rounds; i++) {
      for (const kind of i % 2 === 0 ? (["told", "silent"] as const) : (["silent", "told"] as const)) {
        this.#isSilent = kind === "silent";
        const begin = performance.now();
        for (let n = 0; n < steps; n++) {
          await this.trainStep();
          await new Promise((resolve) => setImmediate(resolve)); // as Trainer.train() does
        }
        if (i >= 0) blocks[kind].push((performance.now() - begin) / steps);
      }
    }
    blocks.tell = this.#tell;
    return blocks as never; // what run() gives is the class's own
  }

  override record(record: MetricRecord): void {
    if (this.#isSilent) return;
    const begin = performance.now();
    super.record(record);
    this.#tell.push(performance.now() - begin);
  }
}
