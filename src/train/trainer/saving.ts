// What a run saves: the model, the optimizer, and the parts that a resume needs. When it saves, and how a checkpoint looks on
// disk, the checkpointer knows.
import { createHash } from "node:crypto";
import { resolve } from "node:path";

import type { Checkpointer, Exact } from "../../checkpoint/index.ts";
import type { Config, RunSpec } from "../../config/index.ts";
import { wordingOf, type DataLoader, type LoaderState } from "../../data/index.ts";
import { parseModelReference } from "../../hub/index.ts";
import {
  isOfAdapter,
  peftConfigOf,
  ownPrefixesOf,
  savedShapes,
  type ModelConfig,
} from "../../models/index.ts";
import { mapParameters, parametersOf, fileNames, type BlockSpec } from "../../nn/index.ts";
import type { Optimizer } from "../../optim/index.ts";
import type { Ranks, Strategy } from "../../parallel/index.ts";
import { expandHome } from "../../util/index.ts";
import { adapterSettings } from "../assembly/trained-blocks.ts";
import type { TrainState } from "./train-state.ts";
import { savedRun, type SavedRun } from "./saved-run.ts";

/** The adapter_config.json of the run; undefined where it trains no adapter. */
function adapterConfigOf(spec: RunSpec, tuned: readonly BlockSpec[]): string | undefined {
  const settings = adapterSettings(spec);
  if (settings === undefined) return undefined;
  const isAdapter = isOfAdapter(tuned);
  const blocks = tuned.map((block) => mapParameters(block, (one) => (isAdapter(one.name) ? undefined : one)));
  return `${JSON.stringify(peftConfigOf(settings, blocks, baseName(spec.model.hfAssetsPath)), null, 2)}\n`;
}

/** As PEFT and Transformers are to find it: a name of the hub, or a folder. */
const baseName = (reference: string): string =>
  parseModelReference(reference)?.name ?? resolve(expandHome(reference));

export interface SavingParts {
  readonly checkpointer: Checkpointer;
  readonly modelConfig: ModelConfig;
  readonly blocks: readonly BlockSpec[];
  /** Of a run that trains an adapter: what that is of; see SavedRun. */
  readonly base: SavedRun["base"];
  readonly loader: DataLoader;
  readonly strategy: Strategy;
  readonly optimizer: Optimizer;
  readonly ranks: Ranks;
  /** What is trained doesn't change while a run goes on. */
  readonly config: Config;
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
    const { blocks, strategy, config } = this.#parts;
    const { saved: model, slices, ownership } = strategy;
    const saved = savedShapes(blocks);
    const isPartial = saved.size < parametersOf(blocks).size;
    const adapterConfig = adapterConfigOf(config.spec, blocks);
    const ownPrefixes = ownPrefixesOf(this.#parts.modelConfig);
    return { model, saved, isPartial, slices, ownership, adapterConfig, ownPrefixes, ...fileNames(blocks) };
  }

  /** Every rank calls it. Gives the checkpoint's folder; undefined where none are saved. */
  async save({ step, scheduledSteps, position, state, config }: Progress): Promise<string | undefined> {
    const { checkpointer, modelConfig, base, loader, optimizer, ranks, onSaved, onNote } = this.#parts;
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
      run: savedRun(config, modelConfig, { wording: wordingOf(loader.formats), base }) as unknown as Exact,
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
