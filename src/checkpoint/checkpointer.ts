// The checkpoints of one run: where it starts, when it saves, what a save holds, and which old ones go. It is what the
// trainer talks to; how a checkpoint looks on disk is in save-step.ts and load-step.ts. With async_mode a save copies to
// memory (stage.ts) and a thread writes while training goes on (background.ts); the last save is synchronous in any case.
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Optimizer } from "../optim/index.ts";
import type { ShardSlice } from "../nn/index.ts";
import { Ranks, type ShardOwnership } from "../parallel/index.ts";
import { dtypeOfName, type Tensor } from "../torch/index.ts";
import { BackgroundWriter, type PendingWrite } from "./background.ts";
import type { Exact } from "./exact-json.ts";
import type { StateParts } from "./manifest.ts";
import { saveStepSharded } from "./save-sharded.ts";
import {
  explain,
  manifestContents,
  saveStep,
  type CheckpointContents,
  type SavedStep,
  type StepSaveOptions,
} from "./save-step.ts";
import { Stage } from "./stage.ts";
import { chooseStart, type Start, type StartOptions } from "./start.ts";
import { beginStep, cleanLeftovers, purge, stepPath } from "./step-folder.ts";
import type { StepCheckpoint } from "./load-step.ts";

export type LoadablePart = "optimizer" | "lr_scheduler" | "dataloader" | "train_state";

/** The keys of the configuration's `checkpoint` section, and what of other sections they depend on. */
export interface CheckpointerOptions extends StartOptions {
  readonly interval?: number;
  readonly keep_latest_k?: number;
  readonly last_save_model_only?: boolean;
  readonly last_save_in_hf?: boolean;
  readonly export_dtype?: "float32" | "bfloat16" | "float16";
  readonly async_mode?: "disabled" | "async" | "async_with_pinned_mem";
  readonly exclude_from_loading?: readonly LoadablePart[];
  readonly load_only?: boolean;
  readonly enable_first_step_checkpoint?: boolean;
  /** The ranks of the run: all of them save together. Default: one process. */
  readonly ranks?: Ranks;
}

export interface ResumeTargets {
  readonly model: ReadonlyMap<string, Tensor>;
  /** Which rows of them this rank holds, where the model is divided. */
  readonly rows?: ReadonlyMap<string, ShardSlice> | undefined;
  /** Names of the whole model's parameters, where this rank hasn't all of them. */
  readonly whole?: readonly string[] | undefined;
  readonly optimizer: Pick<Optimizer, "state" | "loadState">;
}

export interface Resumed {
  /** Steps that are done; 0 without `train_state`, which counts them. */
  readonly step: number;
  /** What was saved, less `exclude_from_loading`. */
  readonly parts: StateParts;
  readonly configDigest: string;
}

/** What of the options may change while the run goes on. */
export type SaveTimes = Required<
  Pick<
    CheckpointerOptions,
    "interval" | "keep_latest_k" | "last_save_model_only" | "last_save_in_hf" | "export_dtype" | "steps"
  >
>;

export interface SaveReport extends SavedStep {
  readonly step: number;
  /** That the caller waited. */
  readonly seconds: number;
  /** Steps whose checkpoints were removed. */
  readonly purged: readonly number[];
  /** Whether it is there. If not, a thread is writing it, and `bytes` are those of its tensors. */
  readonly complete: boolean;
}

export interface SaveContents extends CheckpointContents {
  /** What of a divided model this rank saves. */
  readonly ownership?: ShardOwnership;
  /** Called on rank 0 when the checkpoint is there. */
  readonly onComplete?: (step: number, path: string) => void;
}

/** How long, after a failure of the run, the first rank waits for the files of others, which may be dead. */
const lastWaitMs = 60_000;

export class Checkpointer {
  #options: CheckpointerOptions;
  #resumedFrom: string | undefined;
  readonly #writer = new BackgroundWriter();
  readonly #stage: Stage;
  #pending: (PendingWrite & { step: number; temporary: string; writers: number }) | undefined;
  /** Names of what dead processes had left in the folder. */
  readonly cleaned: readonly string[];

  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.#stage = new Stage(options.async_mode === "async_with_pinned_mem");
    this.cleaned = this.#saves && (options.ranks ?? Ranks.one).isFirst ? cleanLeftovers(options.folder) : [];
  }

  get #saves(): boolean {
    return (this.#options.enable ?? true) && !this.#options.load_only;
  }

  /** Saves at other times, keeps others, makes another last one. */
  configure({
    interval,
    keep_latest_k,
    last_save_model_only,
    last_save_in_hf,
    export_dtype,
    steps,
  }: SaveTimes): void {
    const changes = { interval, keep_latest_k, last_save_model_only, last_save_in_hf, export_dtype, steps };
    this.#options = { ...this.#options, ...changes };
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
   * Saves; resolves when the checkpoint is durable, or, with `async_mode`, when its tensors are copied. All ranks call it.
   * The run's last save is always durable; it follows `last_save_model_only`, `last_save_in_hf` and `export_dtype`; every
   * other one can be resumed from. Does nothing where saving is off. A save waits for the one before.
   * @throws UserError when the disk is full, also of the save before; earlier checkpoints are intact
   */
  async save(contents: SaveContents): Promise<SaveReport | undefined> {
    if (!this.#saves) return undefined;
    const begin = performance.now();
    await this.settle();
    const { folder, steps, hfAssetsPath, ranks = Ranks.one, async_mode = "disabled" } = this.#options;
    const { last_save_model_only = true, last_save_in_hf = true, export_dtype = "float32" } = this.#options;
    const waited = () => (performance.now() - begin) / 1000;
    const { step, ownership } = contents;
    if (async_mode !== "disabled" && step < steps && contents.optimizer !== undefined) {
      const bytes = await this.#begin(contents);
      return { path: stepPath(folder, step), bytes, step, seconds: waited(), purged: [], complete: false };
    }
    const modelOnly = step >= steps && last_save_model_only;
    const [what, options]: [CheckpointContents, StepSaveOptions] = modelOnly
      ? [
          { ...contents, optimizer: undefined, parts: {} },
          {
            dtype: dtypeOfName(export_dtype),
            sourceFolder: last_save_in_hf ? hfAssetsPath : undefined,
          },
        ]
      : [contents, { sourceFolder: hfAssetsPath }];
    const saved =
      ownership !== undefined && ownership.count > 1
        ? await saveStepSharded(folder, what, { ...options, ranks, ownership })
        : await ranks.fromFirst(() => saveStep(folder, what, options));
    const { keep, spared } = this.#keeping;
    const purged = await ranks.fromFirst(() => purge(folder, keep, spared));
    if (ranks.isFirst) contents.onComplete?.(step, saved.path);
    return { ...saved, step, seconds: waited(), purged, complete: true };
  }

  get #keeping(): { keep: number; spared: readonly string[] } {
    const spared = this.#resumedFrom === undefined ? [] : [this.#resumedFrom];
    return { keep: this.#options.keep_latest_k ?? 10, spared };
  }

  /** Copies what this rank saves and has the thread write it. Returns the bytes of all ranks. */
  async #begin(contents: SaveContents): Promise<number> {
    const { folder, hfAssetsPath, ranks = Ranks.one } = this.#options;
    const { step } = contents;
    const isDivided = contents.ownership !== undefined && contents.ownership.count > 1;
    const ownership = isDivided ? contents.ownership : undefined;
    const writes = ownership === undefined ? ranks.isFirst : ownership.replica === 0;
    let temporary: string | undefined;
    try {
      temporary = await ranks.fromFirst(() => beginStep(folder, step));
      const files = await ranks.together(() => (writes ? this.#stage.snapshot(contents, ownership) : []));
      const sizes = files.flatMap(({ tensors }) => tensors.map(({ bytes }) => bytes.length));
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      const writers = ownership?.count ?? 1;
      const pending = !writes
        ? { written: Promise.resolve(new Map()), published: new Promise<never>(() => undefined) }
        : this.#writer.begin({
            temporary,
            files,
            writers,
            writer: ownership?.index ?? 0,
            publish: ranks.isFirst
              ? {
                  folder,
                  manifest: manifestContents(contents),
                  sourceFolder: hfAssetsPath,
                  dtype: [...contents.model.values()][0]?.dtype.name,
                  ...this.#keeping,
                }
              : undefined,
          });
      this.#pending = { ...pending, step, temporary, writers };
      if (ranks.isFirst) {
        pending.published.then(
          ({ path }) => contents.onComplete?.(step, path),
          () => undefined, // told by settle
        );
      }
      return (await ranks.gather(bytes)).reduce((sum, one) => sum + one, 0);
    } catch (error) {
      if (temporary !== undefined && this.#pending === undefined) this.#remove(temporary);
      throw explain(error, folder, step);
    }
  }

  /**
   * Waits until the save that was begun is durable. All ranks call it.
   * @throws UserError when it failed; earlier checkpoints are intact
   */
  async settle(): Promise<void> {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    const { folder, ranks = Ranks.one } = this.#options;
    try {
      this.#stage.give(await ranks.together(() => pending.written));
      await ranks.fromFirst(async () => {
        await pending.published;
        return null;
      });
    } catch (error) {
      await this.#writer.stop();
      this.#remove(pending.temporary);
      throw explain(error, folder, pending.step);
    }
  }

  #remove(temporary: string): void {
    if ((this.#options.ranks ?? Ranks.one).isFirst) rmSync(temporary, { recursive: true, force: true });
  }

  /**
   * Waits until what this process has begun is durable, without asking other ranks, which may have failed, and ends the
   * thread. @throws UserError when it failed and `settle` hasn't told it
   */
  async close(): Promise<void> {
    const pending = this.#pending;
    this.#pending = undefined;
    const { folder, ranks = Ranks.one } = this.#options;
    try {
      if (pending !== undefined) {
        await pending.written;
        const limit = new AbortController();
        const waits = pending.writers > 1 ? [sleep(lastWaitMs, undefined, { signal: limit.signal })] : [];
        if (ranks.isFirst) await Promise.race([pending.published, ...waits]);
        limit.abort();
        await Promise.allSettled(waits);
      }
    } catch (error) {
      this.#remove(pending!.temporary);
      throw explain(error, folder, pending!.step);
    } finally {
      await this.#writer.stop();
      this.#stage.dispose();
    }
  }
}
