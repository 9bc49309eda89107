// Training from a configuration: the loop over the steps, and one step. Its parts are built in build.ts; the arithmetic of a
// step is engine/update.ts's. Runs alone or as one of several ranks, which all make the same calls in the same order; rank 0
// alone writes and tells. What it measures goes to the hooks that it was given; it prints nothing itself.
import { existsSync } from "node:fs";
import { dirname } from "node:path";

import { exportPath, StepCheckpoint, type Checkpointer } from "../../checkpoint/index.ts";
import { isInitialized, setCallTimeout } from "../../comm/index.ts";
import type { Config, RunSpec } from "../../config/index.ts";
import { Ledger, type Batch, type DataLoader, type LoaderState, type Tokenizer } from "../../data/index.ts";
import { formatCount, MetricLog, StepClock, type MetricRecord } from "../../metrics/index.ts";
import type { Decoder, ModelConfig } from "../../models/index.ts";
import { mixSeeds, type BlockSpec } from "../../nn/index.ts";
import { factor, type Optimizer } from "../../optim/index.ts";
import type { Ranks, Strategy } from "../../parallel/index.ts";
import { memoryStats, resetPeakMemory, scope, synchronize } from "../../torch/index.ts";
import { messageOf, UserError } from "../../util/index.ts";
import { stepOptionsOf } from "../assembly/assemble.ts";
import { NonFiniteError } from "../engine/non-finite.ts";
import { isRowsFailure } from "../engine/rows-failure.ts";
import { Update } from "../engine/update.ts";
import { forecastMemory } from "../plan/forecast.ts";
import { fullBatch } from "../plan/full-batch.ts";
import { betterThan, type BestEvaluation } from "./best.ts";
import { buildTrainer, type TrainerParts } from "./build.ts";
import { checkExport } from "./check-export.ts";
import { Evaluation, type HeldOut } from "./evaluation.ts";
import type { RunPlace } from "./run-place.ts";
import { compareWithSaved } from "./saved-run.ts";
import { Saving } from "./saving.ts";
import { nextBatches, suspectRows } from "./step-batches.ts";

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
  /** Folder of the model to use: the exported one, else the last checkpoint; undefined where none was saved. */
  model: string | undefined;
  /** With `checkpoint.keep_best`: the evaluation with the lowest loss, and its checkpoint. */
  best?: { step: number; loss: number; checkpoint: string };
  /** With `checkpoint.export`: what was made of the model for other programs. */
  files?: string[];
  /** Folder of the run: configuration, metrics, logs. */
  runFolder: string;
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
  /** Of the whole model, as it is trained. */
  readonly blocks: readonly BlockSpec[];
  readonly checkpointer: Checkpointer;
  readonly #hooks: TrainerHooks;
  #log: MetricLog;
  readonly #update: Update;
  readonly #evaluation: Evaluation;
  readonly #saving: Saving;
  readonly #seed: number;
  #config: Config;
  #clock: StepClock;
  #step: number;
  #tokens: number;
  #best: BestEvaluation | undefined;
  #stop = new AbortController();
  /** Where this process began: there is nothing to save before it has done a step. */
  readonly #firstStep: number;
  readonly #endsHere: boolean;
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
    this.blocks = parts.blocks;
    this.checkpointer = parts.checkpointer;
    this.#hooks = parts.ranks.isFirst ? hooks : {};
    this.#seed = parts.seed;
    this.#step = parts.step;
    this.#tokens = parts.tokens;
    this.#best = parts.best;
    this.#firstStep = parts.step;
    this.#endsHere = parts.endsHere ?? false;
    this.#scheduleStart = parts.scheduleStart;
    this.#clock = new StepClock(this.spec.steps, parts.tokens);
    this.#log = this.#openLog();
    const { inBackward } = this.spec.optimizer;
    this.#update = new Update({ ...parts, inBackward, options: stepOptionsOf(this.spec, parts.blocks) });
    const onNote = (text: string): void => this.#note(text);
    this.#evaluation = new Evaluation({
      ...parts,
      update: this.#update,
      onRecord: (record) => this.#emit(record),
      onNote,
    });
    const { step, startedFrom: path } = parts;
    this.#saving = new Saving(
      { ...parts, onSaved: (at, folder) => this.#saved(at, folder), onNote },
      path === undefined ? undefined : { step, path },
    );
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
  configure(given: Config): void {
    const { epochs } = given.training;
    if (epochs !== null && epochs !== this.config.training.epochs)
      throw new UserError(
        `training.epochs: can't be changed in a run that has begun, found ${epochs}; give training.epochs: null and training.steps`,
        { exitCode: 2 },
      );
    const next = epochs === null ? given : given.ofSteps(this.spec.steps);
    const { steps } = next.spec;
    if (steps < this.#step) {
      throw new UserError(
        `training.steps: expected at least the ${this.#step} steps that are done, found ${steps}`,
        { exitCode: 2 },
      );
    }
    if (steps > this.#step) this.#refuseWeightsAlone("training.steps");
    this.#openRun();
    this.#config = next;
    this.#clock = new StepClock(steps, this.#tokens);
    this.checkpointer.configure({ ...next.spec.checkpoint, steps });
    this.run.configure(next.toYaml(), steps);
  }

  #refuseWeightsAlone(what: string): void {
    if (!this.#endsHere) return;
    throw new UserError(
      `${what}: this run has done its ${this.#step} steps, and ${this.#saving.last?.path} holds the weights alone (checkpoint.last_save_model_only), from which it can't go on. Begin a new run with them: checkpoint.initial_load_path, and another job.name or checkpoint.folder`,
      { exitCode: 2 },
    );
  }

  /** A finished run's folder is opened once more is asked of the run, before anything is written. It goes on like a resume. */
  #openRun(): void {
    if (this.run.isOpen) return;
    const { last } = this.#saving;
    const changes =
      last === undefined
        ? []
        : compareWithSaved(new StepCheckpoint(last.path), this.config, this.modelConfig);
    this.run.open();
    this.checkpointer.clean();
    this.#log = this.#openLog();
    for (const line of changes) this.#note(line);
  }

  /** As `#openRun`, on all ranks or on none. */
  async #openRunOnAll(): Promise<void> {
    if (this.run.isOpen) return;
    await this.ranks.fromRank0(() => {
      this.#openRun();
      return null;
    });
    this.#openRun();
  }

  /** Steps that are done. */
  get currentStep(): number {
    return this.#step;
  }
  get forecast(): ReturnType<typeof forecastMemory> {
    return forecastMemory(this.spec, this.modelConfig);
  }

  /** What the evaluation after the step that was done last found; undefined where there was none. */
  get evaluation(): readonly HeldOut[] | undefined {
    return this.#evaluation.resultsAt(this.#step);
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
      if (checkpoint.createSeedCheckpoint && this.#step < steps) {
        await this.save();
        this.#note("checkpoint.create_seed_checkpoint: the initial state is saved, nothing is trained");
        this.stop();
      }
      while (this.#step < steps && !this.#allStop()) {
        await this.trainStep();
        position = this.loader.stateDict();
        const last = this.#step === steps;
        const isEvaluated =
          evaluation.datasets.length > 0 &&
          (last || (evaluation.everySteps !== undefined && this.#step % evaluation.everySteps === 0));
        const isBest = isEvaluated && (await this.#isBest(await this.evaluate()));
        if (isBest || this.checkpointer.isDue(this.#step)) await this.save();
        if (this.#step % gcEverySteps === 0) globalThis.gc?.();
        await nextMessages();
      }
      if (this.#isUnsaved) await this.save();
      await this.checkpointer.settle();
      await this.#exportMissing();
      await this.#compareExport();
      if (this.#step > this.#firstStep) await this.#tellOfRows();
      const status = this.#step < steps ? "stopped" : "finished";
      this.#endRun(status === "finished" ? "finished" : "interrupted");
      this.#stop = new AbortController(); // another train() goes on
      return { step: this.#step, status, ...this.#folders() };
    } catch (error) {
      if (isRowsFailure(error)) await this.#saveBefore(position);
      // What a thread is still writing is kept; that it failed, too, is not the reason why the run ends.
      await this.checkpointer.close().catch((also: unknown) => this.#note(messageOf(also)));
      this.#endRun("failed", messageOf(error));
      throw error;
    }
  }

  /** The model of a run that ended, but for its export. The checkpoint has all else, and stays as it is. */
  async #exportMissing(): Promise<void> {
    if (!(await this.ranks.fromRank0(() => this.checkpointer.lacksExport(this.#step)))) return;
    await this.#openRunOnAll();
    await this.#saving.export(this.#step);
  }

  /** Whether an evaluation is the best so far, and is kept for it. Every rank calls it. */
  async #isBest(results: readonly HeldOut[]): Promise<boolean> {
    const { checkpoint, evaluation } = this.spec;
    if (!checkpoint.keepBest) return false;
    const better = await this.ranks.fromRank0(
      () => betterThan(this.#best, results, this.#step, evaluation) ?? null,
    );
    if (better === null) return false;
    this.#best = better;
    this.checkpointer.keepBest(better.step);
    return true;
  }

  /** A checkpoint is complete; rank 0 is told. */
  #saved(step: number, path: string): void {
    if (step === this.#best?.step)
      this.run.recordBest({ step, eval_loss: this.#best.loss, checkpoint: path });
    this.#hooks.onSaved?.(step, path);
  }

  /** @throws UserError where an exported adapter doesn't compute what the model does */
  async #compareExport(): Promise<void> {
    const { last, exported } = this.#saving;
    const { adapter, checkpoint, steps } = this.spec;
    const isSaved = checkpoint.lastSaveModelOnly && last?.step === steps && this.#step > this.#firstStep;
    const folder = exported ?? (isSaved ? last?.path : undefined);
    if (adapter === undefined || folder === undefined) return;
    const { spec, modelConfig, blocks, strategy, model, tokenizer, ranks } = this;
    this.#note(await checkExport(folder, { spec, modelConfig, blocks, strategy, model, tokenizer, ranks }));
  }

  #folders(): Pick<TrainerResult, "best" | "checkpoint" | "model" | "runFolder"> {
    const { last, exported } = this.#saving;
    const found = last && exportPath(dirname(last.path), last.step);
    const model = exported ?? (found !== undefined && existsSync(found) ? found : last?.path);
    const { step, loss } = this.#best ?? { step: -1, loss: NaN };
    const checkpoint = this.checkpointer.find(step);
    return {
      checkpoint: last?.path,
      model,
      ...(checkpoint !== undefined && { best: { step, loss, checkpoint } }),
      runFolder: this.run.path,
    };
  }

  /** Rank 0 alone writes, and not into the folder of a run that was finished before. */
  #openLog(): MetricLog {
    return this.ranks.isFirst && this.run.isOpen
      ? MetricLog.open(this.spec.metricLogging, this.run, this.#step, false)
      : new MetricLog({});
  }

  #endRun(...end: Parameters<RunPlace["end"]>): void {
    const problem = this.run.end(...end);
    if (problem !== undefined) this.#note(problem);
  }

  get #isUnsaved(): boolean {
    return this.#step > this.#firstStep && this.#saving.last?.step !== this.#step;
  }

  /** Rows that can't be read end the run, but not what it has learned: the next one goes on before those rows. */
  async #saveBefore(position: LoaderState): Promise<void> {
    if (!this.#isUnsaved) return;
    try {
      const path = await this.save(position);
      if (path !== undefined) this.#note(`step ${this.#step} is saved before the run ends: ${path}`);
    } catch (error) {
      this.#note(messageOf(error));
    }
  }

  /** Tells which rows were not trained as they are: what is cut or left out silently is found out too late. */
  async #tellOfRows(): Promise<void> {
    const ledger = Ledger.sum(await this.ranks.gatherByData(this.loader.ledger.state));
    const { rows, trained, lines } = ledger;
    if (lines.length === 0) return;
    const whole = `of ${formatCount(rows)} rows that were read, ${formatCount(trained)} are whole`;
    for (const line of [whole, ...lines.map((one) => `  ${one}`)]) this.#note(line);
  }

  /** Whether any rank was told to stop; then all stop at this step. */
  #allStop(): boolean {
    if (this.ranks.any(this.stopped.aborted)) this.stop();
    return this.stopped.aborted;
  }

  /** One optimizer step: all its micro-batches, clipping, update. */
  async trainStep(): Promise<MetricRecord> {
    this.#refuseWeightsAlone("trainStep()");
    await this.#openRunOnAll();
    const { accumulationSteps, comm, maxNorm, steps } = this.spec;
    const { batches, trained, tokens } = await nextBatches(this.loader, accumulationSteps, this.ranks);
    const lr = this.learningRate;
    const numbers = { lr, maxNorm };
    const gradients = this.#update.gradients(batches, trained, numbers, mixSeeds(this.#seed, this.#step));
    const { loss, norm } = gradients;
    // The same numbers on all ranks, so all end here or none.
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
      this.#update.drop();
      const rows = await suspectRows(batches, gradients.ownLoss, this.ranks);
      const { updated = 0 } = gradients;
      throw new NonFiniteError({ step: this.#step + 1, loss, norm, lr, rows, updated });
    }
    this.#update.apply(gradients, numbers);
    if (this.#step++ === this.#firstStep && isInitialized()) setCallTimeout(comm.trainTimeoutSeconds);
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

  /** Mean loss of the held-out data, each data set by itself; those that `stop` cut short have none. */
  async evaluate(): Promise<HeldOut[]> {
    const results = await this.#evaluation.run(this.spec, this.#step, this.stopped);
    this.#clock.restart();
    return results;
  }

  /**
   * Saves a checkpoint now; with `checkpoint.async_mode` it is there only later, which `onSaved` tells.
   * @param position where a run that goes on from it begins to read
   */
  async save(position: LoaderState = this.loader.stateDict()): Promise<string | undefined> {
    this.#refuseWeightsAlone("save()");
    await this.#openRunOnAll();
    const path = await this.#saving.save({
      step: this.#step,
      scheduledSteps: this.#step - this.#scheduleStart,
      position,
      state: {
        tokens: this.#tokens,
        seed: this.#seed,
        ...(this.#best !== undefined && { best: this.#best }),
      },
      config: this.config,
    });
    this.#clock.restart();
    return path;
  }

  /** Steps on the longest possible batch with the optimizer, and what they took. Changes the weights: don't go on from here. */
  measure(): { stepSeconds: number; peakBytes: number } {
    const batch = fullBatch(this.spec, this.modelConfig.vocabSize);
    const { device } = this.model;
    resetPeakMemory(device);
    const begin = performance.now();
    using _ = scope();
    const numbers = { lr: 0, maxNorm: this.spec.maxNorm };
    const tokens = batch.trainedTokens * this.ranks.data.worldSize;
    this.#update.apply(this.#update.gradients([batch], tokens, numbers, this.#seed), numbers);
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
    await this.#evaluation.close();
    await this.checkpointer.close();
  }

  #note(text: string): void {
    this.#hooks.onNote?.(text);
  }

  #emit(record: MetricRecord): void {
    this.#log.write(record);
    this.#hooks.onRecord?.(record);
  }
}

/**
 * Lets signals and messages in. Those that came while this thread was busy are read when the event loop polls, which the first
 * turn of setImmediate doesn't wait for where the thread was busy in a poll.
 */
async function nextMessages(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}
