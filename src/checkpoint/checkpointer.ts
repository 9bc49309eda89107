// The checkpoints of one run: where it starts, when it saves, what a save holds, and which old ones go. It is what the
// trainer talks to; how a checkpoint looks on disk is in save-step.ts and load-step.ts. Saving is synchronous inside
// (async_mode "disabled"); callers await it, so that a later mode can copy to memory and write on a thread.
import { Ranks, type Rows, type ShardPlace } from "../parallel/index.ts";
import { dtypeOfName, type Tensor } from "../torch/index.ts";
import type { Exact } from "./exact-json.ts";
import type { StateParts } from "./manifest.ts";
import type { RandomState } from "./random.ts";
import { saveStepSharded } from "./save-sharded.ts";
import { saveStep, type CheckpointContents, type SavedStep, type StepSaveOptions } from "./save-step.ts";
import { chooseStart, type Start, type StartOptions } from "./start.ts";
import { cleanLeftovers, purge } from "./step-folder.ts";
import type { StepCheckpoint } from "./load-step.ts";

export type LoadablePart = "optimizer" | "lr_scheduler" | "dataloader" | "train_state";

/** The keys of the configuration's `checkpoint` section, and what of other sections they depend on. */
export interface CheckpointerOptions extends StartOptions {
  readonly interval?: number;
  readonly keep_latest_k?: number;
  readonly last_save_model_only?: boolean;
  readonly last_save_in_hf?: boolean;
  readonly export_dtype?: "float32" | "bfloat16" | "float16";
  readonly async_mode?: "disabled";
  readonly exclude_from_loading?: readonly LoadablePart[];
  readonly load_only?: boolean;
  readonly enable_first_step_checkpoint?: boolean;
  /** The ranks of the run: all of them save together. Default: one process. */
  readonly ranks?: Ranks;
}

export interface ResumeTargets {
  readonly model: ReadonlyMap<string, Tensor>;
  /** Which rows of them this rank holds, where the model is divided. */
  readonly rows?: ReadonlyMap<string, Rows> | undefined;
  /** Names of the whole model's parameters, where this rank hasn't all of them. */
  readonly whole?: readonly string[] | undefined;
  /** `AdamW.state()` and `AdamW.loadState`. */
  readonly optimizer: {
    state(): Map<string, Tensor>;
    loadState(state: ReadonlyMap<string, Tensor>): void;
  };
}

export interface Resumed {
  /** Steps that are done; 0 without `train_state`, which counts them. */
  readonly step: number;
  /** What was saved, less `exclude_from_loading`. */
  readonly parts: StateParts;
  readonly configDigest: string;
}

export interface SaveReport extends SavedStep {
  readonly step: number;
  readonly seconds: number;
  /** Steps whose checkpoints were removed. */
  readonly purged: readonly number[];
}

export class Checkpointer {
  readonly #options: CheckpointerOptions;
  #resumedFrom: string | undefined;
  /** Names of what dead processes had left in the folder. */
  readonly cleaned: readonly string[];

  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.cleaned = this.#saves && (options.ranks ?? Ranks.one).isFirst ? cleanLeftovers(options.folder) : [];
  }

  get #saves(): boolean {
    return (this.#options.enable ?? true) && !this.#options.load_only;
  }

  /** Where to begin. @throws UserError, see chooseStart */
  start(): Start {
    return chooseStart(this.#options);
  }

  /** What of a checkpoint that `start` chose is for its owners, less `exclude_from_loading`. Reads no weights. */
  partsOf(checkpoint: StepCheckpoint): StateParts {
    const excluded = new Set(this.#options.exclude_from_loading);
    const parts = Object.entries(checkpoint.manifest.parts as Record<string, Exact>).filter(
      ([name]) => !excluded.has(name as LoadablePart),
    );
    return Object.fromEntries(parts);
  }

  /**
   * Loads a checkpoint that `start` chose: weights, optimizer, random streams; the rest is returned, for its owners.
   * @throws UserError when it isn't of this run, or damaged
   */
  resume(checkpoint: StepCheckpoint, { model, optimizer, rows, whole }: ResumeTargets): Resumed {
    const excluded = new Set(this.#options.exclude_from_loading);
    checkpoint.loadModel(model, rows, whole);
    if (!excluded.has("optimizer")) {
      const state = optimizer.state();
      checkpoint.loadOptimizer(state, rows, whole);
      optimizer.loadState(state);
    }
    checkpoint.restoreRandom();
    this.#resumedFrom = checkpoint.path;
    return {
      step: excluded.has("train_state") ? 0 : checkpoint.step,
      parts: this.partsOf(checkpoint),
      configDigest: checkpoint.manifest.config_digest,
    };
  }

  /** Whether a save is due after this many finished steps. */
  isDue(step: number): boolean {
    const { interval = 500, steps, enable_first_step_checkpoint: first = false } = this.#options;
    return this.#saves && (step === steps || step % interval === 0 || (first && step === 1));
  }

  /**
   * Saves; resolves when the checkpoint is durable. All ranks call it. The run's last save follows `last_save_model_only`, `last_save_in_hf`
   * and `export_dtype`; every other one can be resumed from. Does nothing where saving is off.
   * @throws UserError when the disk is full; earlier checkpoints are intact
   */
  async save(
    contents: CheckpointContents & { random?: RandomState; place?: ShardPlace },
  ): Promise<SaveReport | undefined> {
    if (!this.#saves) return undefined;
    const begin = performance.now();
    const { folder, steps, hfAssetsPath, keep_latest_k = 10, ranks = Ranks.one } = this.#options;
    const { last_save_model_only = true, last_save_in_hf = true, export_dtype = "float32" } = this.#options;
    const modelOnly = contents.step >= steps && last_save_model_only;
    const [what, options]: [CheckpointContents, StepSaveOptions] = modelOnly
      ? [
          { ...contents, optimizer: undefined, parts: {} },
          {
            dtype: dtypeOfName(export_dtype),
            sourceFolder: last_save_in_hf ? hfAssetsPath : undefined,
          },
        ]
      : [contents, { sourceFolder: hfAssetsPath }];
    const { place } = contents;
    const saved =
      place !== undefined && place.count > 1
        ? await saveStepSharded(folder, what, { ...options, ranks, place })
        : await ranks.fromFirst(() => saveStep(folder, what, options));
    const spared = this.#resumedFrom === undefined ? [] : [this.#resumedFrom];
    const purged = await ranks.fromFirst(() => purge(folder, keep_latest_k, spared));
    return { ...saved, step: contents.step, seconds: (performance.now() - begin) / 1000, purged };
  }

  /** Waits until everything that was begun is durable. */
  async close(): Promise<void> {}
}
