// The checkpoints of one run: where it starts, when it saves, what a save holds, and which old ones go. It is what the
// trainer talks to; how a checkpoint is written is in save/, how it is read in load/. With `asyncMode` a save copies to memory
// and a thread writes while training goes on; the last save is synchronous in any case.
import { setTimeout as sleep } from "node:timers/promises";
import type { Optimizer } from "../optim/index.ts";
import type { ShardSlice } from "../nn/index.ts";
import { Ranks, type ShardOwnership } from "../parallel/index.ts";
import { dtypeOfName, type Tensor } from "../torch/index.ts";
import type { FilePlaces } from "./hf/joined.ts";
import { baseOf, chooseStart, type Start, type StartOptions } from "./load/start.ts";
import type { StepCheckpoint } from "./load/step-checkpoint.ts";
import { BackgroundWriter, type PendingWrite } from "./save/background.ts";
import type { CheckpointContents } from "./save/plan.ts";
import {
  prepareSave,
  removeBegun,
  saveStep,
  type PreparedSave,
  type StepSaveOptions,
} from "./save/save-step.ts";
import { Stage } from "./save/stage.ts";
import { explainDiskFault } from "./step/disk-faults.ts";
import type { Exact } from "./step/exact-json.ts";
import { readManifest, type StateParts } from "./step/manifest.ts";
import { cleanLeftovers, lacksExport, listCheckpoints, stepPath } from "./step/step-folder.ts";

export type LoadablePart = "optimizer" | "lr_scheduler" | "dataloader" | "train_state";

/** The configuration's `checkpoint` section, and what of other sections it depends on. */
export interface CheckpointerOptions extends StartOptions {
  readonly interval?: number;
  readonly keepLatestK?: number;
  readonly lastSaveModelOnly?: boolean;
  readonly lastSaveInHf?: boolean;
  readonly exportDtype?: "float32" | "bfloat16" | "float16";
  readonly asyncMode?: "disabled" | "async" | "async_with_pinned_mem";
  readonly excludeFromLoading?: readonly LoadablePart[];
  readonly loadOnly?: boolean;
  readonly enableFirstStepCheckpoint?: boolean;
  /** What resumes the run, for the advice of errors. Default: the same command. */
  readonly again?: string | undefined;
  /** The chat template that the model is trained with, where it isn't its own. */
  readonly chatTemplate?: string | undefined;
  /** The ranks of the run: all of them save together. Default: one process. */
  readonly ranks?: Ranks;
}

export interface ResumeTargets {
  /** The parameters that checkpoints hold. */
  readonly model: ReadonlyMap<string, Tensor>;
  /** Which slices of them this rank has, where the model is divided. */
  readonly slices?: ReadonlyMap<string, ShardSlice> | undefined;
  /** Names of all parameters that checkpoints hold, where this rank hasn't all of them. */
  readonly saved?: Iterable<string> | undefined;
  /** See LoadOptions. */
  readonly places?: FilePlaces | undefined;
  readonly optimizer: Pick<Optimizer, "state" | "loadState">;
}

export interface Resumed {
  /** Steps that are done; 0 without `train_state`, which counts them. */
  readonly step: number;
  /** What was saved, less `excludeFromLoading`. */
  readonly parts: StateParts;
  readonly configDigest: string;
}

/** The options that may change while the run goes on. */
export type ChangeableOptions = Required<
  Pick<
    CheckpointerOptions,
    "interval" | "keepLatestK" | "lastSaveModelOnly" | "lastSaveInHf" | "exportDtype" | "steps"
  >
>;

export interface SaveReport {
  readonly step: number;
  readonly path: string;
  /** Folder of the model that was exported beside it. */
  readonly exported?: string | undefined;
  /** Of all files. */
  readonly bytes: number;
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

/** A model to export, at a step that has a checkpoint. */
export type ModelContents = Omit<
  SaveContents,
  "optimizer" | "parts" | "run" | "configDigest" | "random" | "onComplete"
>;

const modelOf = (contents: SaveContents): SaveContents => ({ ...contents, optimizer: undefined, parts: {} });

/** How long, after a failure of the run, the first rank waits for the files of others, which may be dead. */
const lastWaitMs = 60_000;

export class Checkpointer {
  #options: CheckpointerOptions;
  #resumedFrom: string | undefined;
  #best: number | undefined;
  readonly #writer = new BackgroundWriter();
  readonly #stage: Stage;
  #pending: (PendingWrite & Pick<PreparedSave, "temporary" | "writers"> & { step: number }) | undefined;

  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.#stage = new Stage(options.asyncMode === "async_with_pinned_mem");
  }

  /** Removes what dead processes left in the folder. Only once the folder is this run's: another one may be saving into it. */
  clean(): void {
    const { folder, ranks = Ranks.one } = this.#options;
    if (this.#saves && ranks.isFirst) cleanLeftovers(folder);
  }

  get #saves(): boolean {
    return (this.#options.enable ?? true) && !this.#options.loadOnly;
  }

  /** Saves at other times, keeps others, makes another last one. */
  configure(changed: ChangeableOptions): void {
    const { interval, keepLatestK, lastSaveModelOnly, lastSaveInHf, exportDtype, steps } = changed;
    const changes = { interval, keepLatestK, lastSaveModelOnly, lastSaveInHf, exportDtype, steps };
    this.#options = { ...this.#options, ...changes };
  }

  /** From now on the checkpoint of this step is kept, in place of the one that was the best before; undefined: none is. */
  keepBest(step: number | undefined): void {
    this.#best = step;
  }

  /** The folder of a step's checkpoint, where it is complete. As this rank sees the disk: ask rank 0. */
  find(step: number): string | undefined {
    return listCheckpoints(this.#options.folder).complete.find((one) => one.step === step)?.path;
  }

  /** Where to begin. @throws UserError, see chooseStart */
  start(): Start {
    return chooseStart(this.#options);
  }

  /** The folder with the weights that an adapter adapts, however the run starts. */
  get base(): string {
    return baseOf(this.#options);
  }

  /** The state in a checkpoint that isn't a tensor, less `excludeFromLoading`. Reads no weights. */
  partsOf(checkpoint: StepCheckpoint): StateParts {
    const excluded = new Set(this.#options.excludeFromLoading);
    const parts = Object.entries(checkpoint.manifest.parts as Record<string, Exact>).filter(
      ([name]) => !excluded.has(name as LoadablePart),
    );
    return Object.fromEntries(parts);
  }

  /**
   * Loads a checkpoint that `start` chose: weights, optimizer, random streams; the rest is returned, for its owners.
   * @throws UserError when it isn't of this run, or damaged
   */
  resume(
    checkpoint: StepCheckpoint,
    { model, optimizer, slices, saved = [], places }: ResumeTargets,
  ): Resumed {
    const excluded = new Set(this.#options.excludeFromLoading);
    const options = { slices, elsewhere: [...saved], places };
    checkpoint.loadModel(model, options);
    if (!excluded.has("optimizer")) {
      const state = optimizer.state();
      checkpoint.loadOptimizer(state, options);
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

  /** Whether the model of this step's checkpoint is still to be exported. As this rank sees the disk: ask rank 0. */
  lacksExport(step: number): boolean {
    if (!this.#exports(step)) return false;
    const found = listCheckpoints(this.#options.folder).complete.find((one) => one.step === step);
    return found !== undefined && lacksExport(found);
  }

  /** Exports the model of a checkpoint, which stays as it is; gives the folder. All ranks call it. @throws UserError */
  async export(model: ModelContents): Promise<string> {
    const { folder, ranks = Ranks.one } = this.#options;
    // What the run was that it is the model of: this process may have another configuration.
    const saved = await ranks.runOnAll(() => readManifest(stepPath(folder, model.step)));
    return await this.#export({ ...model, run: saved.run, configDigest: saved.config_digest });
  }

  async #export(contents: SaveContents): Promise<string> {
    const options = { ...this.#modelOptions(contents), isExport: true, keep: 0 };
    return (await saveStep(this.#options.folder, modelOf(contents), options)).path;
  }

  /** Whether the save after this step also exports the model, beside the checkpoint. */
  #exports(step: number): boolean {
    const { steps, lastSaveModelOnly = false, lastSaveInHf = true } = this.#options;
    return this.#saves && step >= steps && lastSaveInHf && !lastSaveModelOnly;
  }

  /** Whether a save is due after this many finished steps. */
  isDue(step: number): boolean {
    const { interval = 500, steps, enableFirstStepCheckpoint: first = false } = this.#options;
    return this.#saves && (step === steps || step % interval === 0 || (first && step === 1));
  }

  /**
   * Saves; resolves when the checkpoint is durable, or, with `asyncMode`, when its tensors are copied. All ranks call it.
   * The run's last save is always durable; it follows `lastSaveModelOnly`, `lastSaveInHf` and `exportDtype`; every other one
   * is of what a resume needs, alone. Does nothing where saving is off. A save waits for the one before.
   * @throws UserError when the disk is full, also of the save before; earlier checkpoints are intact
   */
  async save(contents: SaveContents): Promise<SaveReport | undefined> {
    if (!this.#saves) return undefined;
    const begin = performance.now();
    await this.settle();
    const { folder, steps, ranks = Ranks.one, asyncMode = "disabled" } = this.#options;
    const { step } = contents;
    const waited = () => (performance.now() - begin) / 1000;
    if (asyncMode !== "disabled" && step < steps && contents.optimizer !== undefined) {
      const bytes = await this.#begin(contents);
      return { path: stepPath(folder, step), bytes, step, seconds: waited(), purged: [], complete: false };
    }
    const saved =
      step >= steps && this.#options.lastSaveModelOnly
        ? await saveStep(folder, modelOf(contents), this.#modelOptions(contents))
        : await saveStep(folder, contents, this.#saveOptions(contents));
    if (ranks.isFirst) contents.onComplete?.(step, saved.path);
    // The checkpoint comes first: where the disk is full now, nothing is lost.
    const exported = this.#exports(step) ? await this.#export(contents) : undefined;
    return { ...saved, exported, step, seconds: waited(), complete: true };
  }

  #saveOptions({ ownership }: SaveContents): StepSaveOptions {
    const { ranks, hfAssetsPath: sourceFolder, chatTemplate, keepLatestK: keep = 10, again } = this.#options;
    const best = this.#best === undefined ? undefined : stepPath(this.#options.folder, this.#best);
    const spared = [this.#resumedFrom, best].filter((path) => path !== undefined);
    return { ranks, ownership, sourceFolder, chatTemplate, keep, spared, again };
  }

  /** Of a save of the weights alone, for use elsewhere. */
  #modelOptions(contents: SaveContents): StepSaveOptions {
    const { lastSaveInHf = true, exportDtype = "float32" } = this.#options;
    const options = this.#saveOptions(contents);
    return {
      ...options,
      dtype: dtypeOfName(exportDtype),
      sourceFolder: lastSaveInHf ? options.sourceFolder : undefined,
    };
  }

  /** Copies what this rank saves and has the thread write it. Returns the bytes of all ranks. */
  async #begin(contents: SaveContents): Promise<number> {
    const { folder, ranks = Ranks.one } = this.#options;
    const { step } = contents;
    let prepared: PreparedSave | undefined;
    try {
      prepared = await prepareSave(folder, contents, this.#saveOptions(contents));
      const { temporary, writers, job, publication } = prepared;
      const files = await ranks.runOnAll(() => this.#stage.copy(job?.files ?? []));
      const sizes = files.flatMap(({ tensors }) => tensors.map(({ bytes }) => bytes.length));
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      const pending =
        job === undefined
          ? { written: Promise.resolve(new Map()), published: new Promise<never>(() => undefined) }
          : this.#writer.begin({ job: { ...job, files }, publication });
      this.#pending = { ...pending, step, temporary, writers };
      if (ranks.isFirst) {
        pending.published.then(
          ({ path }) => contents.onComplete?.(step, path),
          () => undefined, // told by settle
        );
      }
      return (await ranks.gather(bytes)).reduce((sum, one) => sum + one, 0);
    } catch (error) {
      if (prepared !== undefined && this.#pending === undefined) this.#remove(prepared);
      throw explainDiskFault(error, folder, step, this.#options);
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
      this.#stage.giveBack(await ranks.runOnAll(() => pending.written));
      await ranks.fromRank0(async () => {
        await pending.published;
        return null;
      });
    } catch (error) {
      await this.#writer.stop();
      this.#remove(pending);
      throw explainDiskFault(error, folder, pending.step, this.#options);
    }
  }

  #remove(save: Pick<PreparedSave, "temporary">): void {
    if ((this.#options.ranks ?? Ranks.one).isFirst) removeBegun(save);
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
      this.#remove(pending!);
      throw explainDiskFault(error, folder, pending!.step, this.#options);
    } finally {
      await this.#writer.stop();
      this.#stage.dispose();
    }
  }
}
