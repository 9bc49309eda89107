// The trainer of bench:notebook: runs blocks of steps whose records are told as usual, and blocks whose records stay in the
// process, in turn.
import { setTimeout as sleep } from "node:timers/promises";

import { TrainerActor } from "../src/index.ts";
import type { MetricRecord } from "../src/metrics/index.ts";

export const kinds = ["told", "silent"] as const;

/** A block, as the process of the trainer sees it. */
export interface Block {
  kind: (typeof kinds)[number];
  /** Of a step. */
  milliseconds: number;
  /** Milliseconds a step that telling its record keeps the training thread. */
  tell: number;
}

/** After a block: what the notebook has not drawn yet is drawn by then. */
const pauseMs = 1000;

export class BlockTrainer extends TrainerActor {
  #isSilent = false;
  #tell = 0;

  /**
   * As many rounds of one block of each kind as job.description says, with so many steps and for so many seconds at most; a
   * round before them warms up. Tells when a block begins and ends, as progress of 2 events a block.
   */
  override async run(): Promise<never> {
    const [rounds, steps, seconds] = this.config.job.description.split(" ").map(Number) as [
      number,
      number,
      number,
    ];
    const blocks: Block[] = [];
    const begun = performance.now();
    for (let i = -1; i < rounds; i++) {
      if (i > 1 && performance.now() - begun > seconds * 1000) break;
      for (const kind of i % 2 === 0 ? kinds : kinds.toReversed())
        blocks.push(await this.#block(kind, steps));
    }
    return blocks as never; // its type is that of the class it extends
  }

  async #block(kind: Block["kind"], steps: number): Promise<Block> {
    this.#isSilent = kind === "silent";
    this.#tell = 0;
    this.progress(0, 1);
    const begin = performance.now();
    for (let n = 0; n < steps; n++) {
      await this.trainStep();
      await new Promise((resolve) => setImmediate(resolve)); // as Trainer.train() does
    }
    const milliseconds = (performance.now() - begin) / steps;
    await sleep(pauseMs);
    this.progress(1, 1);
    return { kind, milliseconds, tell: this.#tell / steps };
  }

  override record(record: MetricRecord): void {
    if (this.#isSilent) return;
    const begin = performance.now();
    super.record(record);
    this.#tell += performance.now() - begin;
  }
}
