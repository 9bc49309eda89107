// Training from a configuration: runs the steps, evaluates, saves. Built in build.ts; one step's arithmetic is in update.ts.
// Runs alone or as one of several ranks, which all do the same calls in the same order; rank 0 alone writes and tells. What
// it measures goes to the hooks that it was given; it prints nothing itself.
import { createHash } from "node:crypto";

import type { Checkpointer, Exact } from "../../checkpoint/index.ts";
import { CommError, isInitialized, setCallTimeout } from "../../comm/index.ts";
import type { Config, RunSpec } from "../../config/index.ts";
import {
  evaluationData,
  HeldOutData,
  Ledger,
  rowsOf,
  type Batch,
  type DataLoader,
  type LoaderState,
  type Tokenizer,
} from "../../data/index.ts";
import { formatCount, MetricLog, StepClock, type MetricRecord } from "../../metrics/index.ts";
import { parameterSpecs, savedShapes, type Decoder, type ModelConfig } from "../../models/index.ts";
import { factor, type Optimizer } from "../../optim/index.ts";
import type { Ranks, Strategy } from "../../parallel/index.ts";
import { dtypeOfName, memoryStats, resetPeakMemory, scope, synchronize } from "../../torch/index.ts";
import { messageOf, UserError } from "../../util/index.ts";
import { buildTrainer, type TrainerParts, type TrainState } from "./build.ts";
import { checkpointingOf } from "../engine/checkpointing.ts";
import { evaluateLoader } from "../engine/evaluate.ts";
import { forecastMemory } from "../plan/forecast.ts";
import { fullBatch } from "../plan/full-batch.ts";
import { NonFiniteError } from "../engine/non-finite.ts";
import { isRowsFailure, rowsFailure } from "./rows-failure.ts";
import type { RunPlace } from "./run-place.ts";
import type { StepOptions } from "../engine/step.ts";
import { Update } from "../engine/update.ts";

/** What a trainer tells while it works. All are optional. */
export interface TrainerHooks {
  /** A step or an evaluation. */
  onRecord?: (record: MetricRecord) => void;
  /** A line for the user. */
  onNote?: (text: string) => void;
  /** A checkpoint is complete. */
  onSaved?: (step: number, path: string) => void;
}

export interface TrainerResult {
  /** Steps that are done. */
  step: number;
  /** `finished`: all steps are done. `stopped`: the user asked for it; the run can go on from its checkpoint. */
  status: "finished" | "stopped";
  /** Folder of the last checkpoint; undefined where none was saved. */
  checkpoint: string | undefined;
  /** Folder of the run: configuration, metrics, logs. */
  runFolder: string;
}

/** What an evaluation found on one data set. */
export interface HeldOut {
  readonly name: string;
  /** Mean over the trained tokens. */
  readonly loss: number;
  readonly tokens: number;
}

export class Trainer {
  readonly modelConfig: ModelConfig;
  readonly model: Decoder;
  readonly optimizer: Optimizer;
  readonly tokenizer: Tokenizer;
  readonly loader: DataLoader;
  readonly run: RunPlace;
  readonly ranks: Ranks;
  readonly strategy: Strategy;
  readonly #checkpointer: Checkpointer;
  readonly #hooks: TrainerHooks;
  readonly #log: MetricLog;
  #config: Config;
  #clock: StepClock;
  readonly #update: Update;
  readonly #assets: string;
  readonly #seed: number;
  #step: number;
  #tokens: number;
  #savedAt: { step: number; path: string } | undefined;
  #evaluated: { step: number; results: readonly HeldOut[] } | undefined;
  readonly #heldOut = new HeldOutData();
  #stop = new AbortController();
  /** Where this process began: there is nothing to save before it has done a step. */
  readonly #firstStep: number;
  /** Where the learning rate's schedule began: other than 0 only with checkpoint.exclude_from_loading. */
  readonly #scheduleStart: number;

  private constructor(parts: TrainerParts, hooks: TrainerHooks) {
    this.#config = parts.config;
    this.modelConfig = parts.modelConfig;
    this.model = parts.model;
    this.optimizer = parts.optimizer;
    this.tokenizer = parts.tokenizer;
    this.loader = parts.loader;
    this.run = parts.run;
    this.ranks = parts.ranks;
    this.strategy = parts.strategy;
    this.#checkpointer = parts.checkpointer;
    this.#hooks = parts.ranks.isFirst ? hooks : {};
    this.#assets = parts.assets;
    this.#seed = parts.seed;
    this.#step = parts.step;
    this.#tokens = parts.tokens;
    this.#firstStep = parts.step;
    this.#scheduleStart = parts.scheduleStart;
    this.#savedAt =
      parts.startedFrom === undefined ? undefined : { step: parts.step, path: parts.startedFrom };
    this.#clock = new StepClock(this.spec.steps, parts.tokens);
    this.#update = new Update({ ...parts, options: stepOptionsOf(this.spec) });
    this.#log = parts.ranks.isFirst
      ? MetricLog.open(this.spec.metricLogging, parts.run, parts.step, false)
      : new MetricLog({});
  }

  /**
   * Builds everything; loads weights, or the checkpoint that the run goes on from.
   * @throws UserError for anything in the configuration, model or data that can't be used
   */
  static async create(config: Config, hooks: TrainerHooks = {}): Promise<Trainer> {
    return new Trainer(await buildTrainer(config, (text) => hooks.onNote?.(text)), hooks);
  }

  get config(): Config {
    return this.#config;
  }
  get spec(): RunSpec {
    return this.#config.spec;
  }

  /**
   * Goes on with another configuration, which differs in steps, learning rate and its schedule, clipping, evaluation, or in
   * when and how checkpoints are saved: what else there is has been built. All ranks call it, not during train().
   * @throws UserError for fewer steps than are done
   */
  configure(next: Config): void {
    const { steps } = next.spec;
    if (steps < this.#step) {
      throw new UserError(
        `training.steps: expected at least the ${this.#step} steps that are done, found ${steps}`,
        { exitCode: 2 },
      );
    }
    this.#config = next;
    this.#clock = new StepClock(steps, this.#tokens);
    this.#checkpointer.configure({ ...next.spec.checkpoint, steps });
    this.run.configure(next.toYaml(), steps);
  }

  /** Steps that are done. */
  get currentStep(): number {
    return this.#step;
  }
  /** Folder of the model that the run started from. */
  get assets(): string {
    return this.#assets;
  }
  get forecast(): ReturnType<typeof forecastMemory> {
    return forecastMemory(this.spec, this.modelConfig);
  }

  get checkpointer(): Checkpointer {
    return this.#checkpointer;
  }
  /** What the evaluation after the step that was done last found; undefined where there was none. */
  get evaluation(): readonly HeldOut[] | undefined {
    return this.#evaluated?.step === this.#step ? this.#evaluated.results : undefined;
  }
  /** Of the next step, as the schedule has it. */
  get learningRate(): number {
    const { optimizer, schedule } = this.spec;
    return optimizer.lr * factor(this.#step - this.#scheduleStart, schedule);
  }

  /** Ends the run after the step that is under way, with a checkpoint, or an evaluation after its batch. */
  stop(): void {
    this.#stop.abort();
  }
  /** Aborted once the run is to end. */
  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  /** Runs the steps that are left, evaluating and saving on the way. */
  async train(): Promise<TrainerResult> {
    const { steps, gcEverySteps, evaluation, checkpoint } = this.spec;
    this.#clock.restart();
    let position = this.loader.stateDict();
    try {
      if (checkpoint.createSeedCheckpoint) {
        await this.save();
        this.#hooks.onNote?.(
          "checkpoint.create_seed_checkpoint: the initial state is saved, nothing is trained",
        );
        this.stop();
      }
      while (this.#step < steps && !this.#allStop()) {
        await this.trainStep();
        position = this.loader.stateDict();
        const last = this.#step === steps;
        if (
          evaluation.datasets.length > 0 &&
          (last || (evaluation.everySteps !== undefined && this.#step % evaluation.everySteps === 0))
        ) {
          await this.evaluate();
        }
        if (this.#checkpointer.isDue(this.#step)) await this.save();
        if (this.#step % gcEverySteps === 0) globalThis.gc?.();
        // Signals and messages are handled between steps.
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (this.stopped.aborted && this.#step < steps && this.#isUnsaved) await this.save();
      await this.#checkpointer.settle();
      if (this.#step > this.#firstStep) await this.#tellOfRows();
      const status = this.#step < steps ? "stopped" : "finished";
      this.#endRun(status === "finished" ? "finished" : "interrupted");
      this.#stop = new AbortController(); // another train() goes on
      return { step: this.#step, status, checkpoint: this.#savedAt?.path, runFolder: this.run.path };
    } catch (error) {
      if (isRowsFailure(error)) await this.#saveBefore(position);
      // What a thread is still writing is kept; that it failed, too, is not the reason why the run ends.
      await this.#checkpointer.close().catch((also: unknown) => this.#hooks.onNote?.(messageOf(also)));
      this.#endRun("failed", messageOf(error));
      throw error;
    }
  }

  #endRun(...end: Parameters<RunPlace["end"]>): void {
    const problem = this.run.end(...end);
    if (problem !== undefined) this.#hooks.onNote?.(problem);
  }

  get #isUnsaved(): boolean {
    return this.#step > this.#firstStep && this.#savedAt?.step !== this.#step;
  }

  /** Rows that can't be read end the run, but not what it has learned: the next one goes on before those rows. */
  async #saveBefore(position: LoaderState): Promise<void> {
    if (!this.#isUnsaved) return;
    try {
      const path = await this.save(position);
      if (path !== undefined)
        this.#hooks.onNote?.(`step ${this.#step} is saved before the run ends: ${path}`);
    } catch (error) {
      this.#hooks.onNote?.(messageOf(error));
    }
  }

  /** Tells which rows were not trained as they are: what is cut or left out silently is found out too late. */
  async #tellOfRows(): Promise<void> {
    const ledger = Ledger.sum(await this.ranks.gatherByData(this.loader.ledger.state));
    const { rows, trained, lines } = ledger;
    if (trained === rows) return;
    const whole = `of ${formatCount(rows)} rows that were read, ${formatCount(trained)} are whole`;
    for (const line of [whole, ...lines.map((one) => `  ${one}`)]) this.#hooks.onNote?.(line);
  }

  /** Whether any rank was told to stop; then all stop at this step. */
  #allStop(): boolean {
    if (this.ranks.any(this.stopped.aborted)) this.stop();
    return this.stopped.aborted;
  }

  /** One optimizer step: all its micro-batches, clipping, update. */
  async trainStep(): Promise<MetricRecord> {
    const { steps, maxNorm } = this.spec;
    const { batches, trained, tokens } = await this.#nextBatches();
    const lr = this.learningRate;
    const gradients = this.#update.gradients(batches, trained);
    const { loss, norm } = gradients;
    // The same numbers on all ranks, so all end here or none.
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
      this.#update.drop();
      const rows = batches.flatMap(rowsOf);
      throw new NonFiniteError({
        step: this.#step + 1,
        loss,
        norm,
        lr,
        rows: await this.#suspectRows(gradients.ownLoss, rows),
      });
    }
    this.#update.apply(gradients, lr, maxNorm);
    if (this.#step++ === this.#firstStep && isInitialized())
      setCallTimeout(this.spec.comm.trainTimeoutSeconds);
    this.#tokens += tokens;
    const record: MetricRecord = {
      kind: "train",
      step: this.#step,
      steps,
      time: Date.now() / 1000,
      loss,
      learning_rate: lr,
      grad_norm: norm,
      epoch: this.loader.epoch,
      ...this.#clock.tick(this.#step, tokens),
      peak_memory_mb: this.#peakMemory() / 2 ** 20,
    };
    this.#emit(record);
    return record;
  }

  /**
   * A forward and backward pass over batches, one list a rank, whose gradients are dropped: weights and data position stay.
   * @returns the mean loss over the trained tokens of all ranks
   */
  forwardBackward(batches: readonly Batch[]): { loss: number; trainedTokens: number } {
    const own = batches.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    const [trainedTokens] = this.ranks.sumOverData([own]) as [number];
    const { loss } = this.#update.gradients(batches, trainedTokens);
    this.#update.drop();
    return { loss, trainedTokens };
  }

  /** Runs `body`, for generation say, while every rank has all the parameters that it computes with. All ranks call it. */
  withWholeModel<T>(body: () => T): T {
    this.strategy.gatherAll();
    try {
      return body();
    } finally {
      this.strategy.release();
      this.#clock.restart();
    }
  }

  /** This rank's micro-batches, with the trained and the real tokens of all ranks. */
  async #nextBatches(): Promise<{ batches: Batch[]; trained: number; tokens: number }> {
    const batches: Batch[] = [];
    let failure: { error: unknown } | undefined;
    try {
      for (let i = 0; i < this.spec.accumulationSteps; i++) {
        const batch = await this.loader.next();
        if (!batch) throw new Error("the loader ended");
        batches.push(batch);
      }
    } catch (error) {
      failure = { error };
    }
    const count = (of: (batch: Batch) => number) => batches.reduce((sum, batch) => sum + of(batch), 0);
    const [trained, tokens] = this.ranks.sumOverData([
      count((batch) => batch.trainedTokens),
      count((batch) => batch.columns.tokens.length),
    ]) as [number, number];
    // Of all ranks: also those that read the same rows wait for each other in the step.
    if (this.ranks.any(failure !== undefined)) throw rowsFailure(failure);
    return { batches, trained, tokens };
  }

  /** The rows of the ranks whose own loss isn't finite; of all, where the gradients alone aren't. */
  async #suspectRows(ownLoss: number, rows: number[]): Promise<number[]> {
    const part = this.ranks.data.rank;
    const all = await this.ranks.gather({ part, finite: Number.isFinite(ownLoss), rows });
    const guilty = all.filter(({ finite }) => !finite);
    // Ranks that have chunks of the same rows name them once.
    const byPart = new Map((guilty.length > 0 ? guilty : all).map((one) => [one.part, one.rows]));
    return [...byPart.values()].flat();
  }

  /** Mean loss of the held-out data, each data set by itself; those that `stop` cut short have none. */
  async evaluate(): Promise<HeldOut[]> {
    const results: HeldOut[] = [];
    const sets = await this.ranks
      .together(() =>
        this.#heldOut.open({
          ...evaluationData(this.spec, this.tokenizer, this.ranks.data),
          onWarning: (message) => this.#hooks.onNote?.(message),
        }),
      )
      .catch((error: unknown) => {
        throw error instanceof CommError ? error : rowsFailure({ error });
      });
    for (const { path, loader } of sets) {
      try {
        const { maxBatches } = this.spec.evaluation;
        const evaluated = await evaluateLoader(this.model, loader, {
          maxBatches,
          signal: this.stopped,
          ranks: this.ranks,
          lossOf: (one) => this.#update.lossOf(one, this.spec.localBatchSize),
        });
        if (evaluated === undefined) break;
        const { loss, tokens } = evaluated;
        results.push({ name: path, loss, tokens });
        this.#emit({
          kind: "eval",
          step: this.#step,
          time: Date.now() / 1000,
          eval_loss: loss,
          num_tokens: tokens,
          ...(sets.length > 1 ? { dataset: path } : {}),
        });
      } finally {
        await loader.endThread();
      }
    }
    this.#clock.restart();
    this.#evaluated = { step: this.#step, results };
    return results;
  }

  /**
   * Saves a checkpoint now; with `checkpoint.async_mode` it is there only later, which `onSaved` tells.
   * @param position where a run that goes on from it begins to read
   */
  async save(position: LoaderState = this.loader.stateDict()): Promise<string | undefined> {
    const state: TrainState = { tokens: this.#tokens, seed: this.#seed };
    const positions = await this.ranks.gatherByData(position as unknown as Exact);
    const { saved: model, slices, ownership } = this.strategy;
    const saved = savedShapes(this.modelConfig);
    const report = await this.#checkpointer.save({
      step: this.#step,
      model,
      saved,
      isPartial: saved.size < parameterSpecs(this.modelConfig).size,
      slices,
      ownership,
      optimizer: this.optimizer.state(),
      parts: {
        dataloader: positions.length === 1 ? positions[0]! : positions,
        train_state: { ...state },
        lr_scheduler: { step: this.#step - this.#scheduleStart },
      },
      configDigest: createHash("sha256").update(this.config.toYaml()).digest("hex"),
      onComplete: (step, path) => this.#hooks.onSaved?.(step, path),
    });
    if (report) {
      this.#savedAt = { step: report.step, path: report.path };
      if (!report.complete) {
        this.#hooks.onNote?.(
          `step ${report.step}: training waited ${report.seconds.toFixed(3)} s for its checkpoint, which is written in the background`,
        );
      }
    }
    this.#clock.restart();
    return report?.path;
  }

  /** Steps on the longest possible batch with the optimizer, and what they took. Changes the weights: don't go on from here. */
  measure(): { stepSeconds: number; peakBytes: number } {
    const batch = fullBatch(this.spec, this.modelConfig.vocabSize);
    const { device } = this.model;
    resetPeakMemory(device);
    const begin = performance.now();
    using _ = scope();
    const gradients = this.#update.gradients([batch], batch.trainedTokens * this.ranks.data.worldSize);
    this.#update.apply(gradients, 0, this.spec.maxNorm);
    synchronize(device);
    return { stepSeconds: (performance.now() - begin) / 1000, peakBytes: memoryStats(device).peakBytes };
  }

  /** Bytes: of the process on a CPU, of tensors on an accelerator. */
  #peakMemory(): number {
    return this.spec.withGpus
      ? memoryStats(this.model.device).peakBytes
      : process.resourceUsage().maxRSS * 1024;
  }

  /** Ends files and threads. The weights stay until `dispose` of the model. */
  async close(): Promise<void> {
    this.#log.close();
    await this.loader.close();
    await this.#heldOut.close();
    await this.#checkpointer.close();
  }

  #emit(record: MetricRecord): void {
    this.#log.write(record);
    this.#hooks.onRecord?.(record);
  }
}

export function stepOptionsOf(spec: RunSpec): StepOptions {
  return { ...checkpointingOf(spec), computeDtype: dtypeOfName(spec.computeDtype)! };
}
