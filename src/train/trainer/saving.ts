// What a run saves: the model, the optimizer, and the parts that a resume needs. When it saves, and how a checkpoint looks on
// disk, the checkpointer knows.
import { createHash } from "node:crypto";

import type { Checkpointer, Exact } from "../../checkpoint/index.ts";
import type { Config } from "../../config/index.ts";
import { wordingOf, type DataLoader, type LoaderState } from "../../data/index.ts";
import { parameterSpecs, savedShapes, type ModelConfig } from "../../models/index.ts";
import type { Optimizer } from "../../optim/index.ts";
import type { Ranks, Strategy } from "../../parallel/index.ts";
import type { TrainState } from "./train-state.ts";
import { savedRun } from "./saved-run.ts";

export interface SavingParts {
  readonly checkpointer: Checkpointer;
  readonly modelConfig: ModelConfig;
  readonly loader: DataLoader;
  readonly strategy: Strategy;
  readonly optimizer: Optimizer;
  readonly ranks: Ranks;
  readonly onSaved: (step: number, path: string) => void;
  readonly onNote: (text: string) => void;
}

/** What is saved beside tensors. */
export interface Progress {
  /** Steps that are done. */
  readonly step: number;
  /** Of them those that the learning rate's schedule counts. */
  readonly scheduledSteps: number;
  /** Where a run that goes on from it begins to read. */
  readonly position: LoaderState;
  readonly state: TrainState;
  readonly config: Config;
}

export class Saving {
  readonly #parts: SavingParts;
  #last: { step: number; path: string } | undefined;
  #exported: string | undefined;

  /** @param last the checkpoint that the run started from, where it holds all that is done */
  constructor(parts: SavingParts, last: { step: number; path: string } | undefined) {
    this.#parts = parts;
    this.#last = last;
  }

  /** The last checkpoint. */
  get last(): { readonly step: number; readonly path: string } | undefined {
    return this.#last;
  }

  /** Folder of the model that was exported beside the last checkpoint. */
  get exported(): string | undefined {
    return this.#exported;
  }

  /** Exports the model of the last checkpoint, which stays as it is. Every rank calls it. */
  async export(step: number): Promise<void> {
    this.#exported = await this.#parts.checkpointer.export({ step, ...this.#model() });
  }

  #model() {
    const { modelConfig, strategy } = this.#parts;
    const { saved: model, slices, ownership } = strategy;
    const saved = savedShapes(modelConfig);
    return { model, saved, isPartial: saved.size < parameterSpecs(modelConfig).size, slices, ownership };
  }

  /** Every rank calls it. Gives the checkpoint's folder; undefined where none are saved. */
  async save({ step, scheduledSteps, position, state, config }: Progress): Promise<string | undefined> {
    const { checkpointer, modelConfig, loader, optimizer, ranks, onSaved, onNote } = this.#parts;
    const positions = await ranks.gatherByData(position as unknown as Exact);
    const report = await checkpointer.save({
      step,
      ...this.#model(),
      optimizer: optimizer.state(),
      parts: {
        dataloader: positions.length === 1 ? positions[0]! : positions,
        train_state: { ...state } as unknown as Exact,
        lr_scheduler: { step: scheduledSteps },
      },
      configDigest: createHash("sha256").update(config.toYaml()).digest("hex"),
      run: savedRun(config, modelConfig, wordingOf(loader.formats)) as unknown as Exact,
      onComplete: onSaved,
    });
    if (report === undefined) return undefined;
    this.#last = { step: report.step, path: report.path };
    this.#exported = report.exported;
    if (!report.complete) {
      onNote(
        `step ${report.step}: training waited ${report.seconds.toFixed(3)} s for its checkpoint, which is written in the background`,
      );
    }
    return report.path;
  }
}
