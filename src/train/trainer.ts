// Training on one process: builds model, optimizer, data and checkpoints from a configuration, runs the steps, evaluates,
// saves. What it measures goes to the hooks that it was given; it prints nothing itself.
import { createHash } from "node:crypto";

import { Checkpointer, loadWeights, type Exact, type Start, type StateParts } from "../checkpoint/index.ts";
import { derive, type Config, type Derived } from "../config/index.ts";
import {
  evaluationData,
  loadTokenizer,
  openLoader,
  trainingData,
  type Batch,
  type DataLoader,
  type LoaderState,
  type Tokenizer,
} from "../data/index.ts";
import { resolveModel } from "../hub/index.ts";
import { MetricLog, RunFolder, StepClock, type MetricRecord } from "../metrics/index.ts";
import { checkFlavor, Decoder, readModelConfig, type ModelConfig } from "../models/index.ts";
import { AdamW, clipCoefficient, factor, gradientsOf, gradNorm } from "../optim/index.ts";
import {
  dtypeOfName,
  info,
  manualSeed,
  memoryStats,
  resetPeakMemory,
  scope,
  useDeterministicAlgorithms,
} from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { forecastMemory } from "./forecast.ts";
import { toMicroBatch } from "./micro-batch.ts";
import { NonFiniteError } from "./non-finite.ts";
import { forwardBackward, forwardLoss, type StepOptions } from "./step.ts";

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

/** What the run keeps about itself in a checkpoint, beside weights, optimizer and data position. */
interface TrainState {
  tokens: number;
  seed: number;
}

export class Trainer {
  readonly config: Config;
  readonly derived: Derived;
  readonly modelConfig: ModelConfig;
  readonly model: Decoder;
  readonly optimizer: AdamW;
  readonly tokenizer: Tokenizer;
  readonly loader: DataLoader;
  readonly run: RunFolder;
  readonly #checkpointer: Checkpointer;
  readonly #hooks: TrainerHooks;
  readonly #log: MetricLog;
  readonly #clock: StepClock;
  readonly #stepOptions: StepOptions;
  readonly #assets: string;
  readonly #seed: number;
  #step: number;
  #tokens: number;
  #savedAt: { step: number; path: string } | undefined;
  #stop = new AbortController();
  /** Where this process began: there is nothing to save before it has done a step. */
  readonly #firstStep: number;
  /** Where the learning rate's schedule began: other than 0 only with checkpoint.exclude_from_loading. */
  readonly #scheduleStart: number;

  private constructor(parts: {
    config: Config;
    modelConfig: ModelConfig;
    model: Decoder;
    optimizer: AdamW;
    tokenizer: Tokenizer;
    loader: DataLoader;
    run: RunFolder;
    checkpointer: Checkpointer;
    hooks: TrainerHooks;
    assets: string;
    seed: number;
    step: number;
    tokens: number;
    scheduleStart: number;
    /** The checkpoint that holds this step already. */
    startedFrom: string | undefined;
  }) {
    this.config = parts.config;
    this.derived = derive(parts.config);
    this.modelConfig = parts.modelConfig;
    this.model = parts.model;
    this.optimizer = parts.optimizer;
    this.tokenizer = parts.tokenizer;
    this.loader = parts.loader;
    this.run = parts.run;
    this.#checkpointer = parts.checkpointer;
    this.#hooks = parts.hooks;
    this.#assets = parts.assets;
    this.#seed = parts.seed;
    this.#step = parts.step;
    this.#tokens = parts.tokens;
    this.#firstStep = parts.step;
    this.#scheduleStart = parts.scheduleStart;
    this.#savedAt =
      parts.startedFrom === undefined ? undefined : { step: parts.step, path: parts.startedFrom };
    this.#clock = new StepClock(parts.config.training.steps, parts.tokens);
    this.#stepOptions = stepOptionsOf(parts.config);
    this.#log = MetricLog.open(parts.config.metric_logging, parts.run, parts.step, false);
  }

  /**
   * Builds everything; loads weights, or the checkpoint that the run goes on from.
   * @throws UserError for anything in the configuration, model or data that can't be used
   */
  static async create(config: Config, hooks: TrainerHooks = {}): Promise<Trainer> {
    const note = (text: string) => hooks.onNote?.(text);
    const assets = await resolveModel(config.model.hf_assets_path);
    const modelConfig = readModelConfig(assets);
    checkFlavor(config.model.name, config.model.flavor, modelConfig);
    if (config.training.seq_len > modelConfig.maxPositions) {
      note(
        `training.seq_len ${config.training.seq_len} is more than the ${modelConfig.maxPositions} positions that the model was trained on`,
      );
    }
    const tokenizer = loadTokenizer(assets);
    const run = RunFolder.open({
      dumpFolder: config.job.dump_folder,
      name: config.job.name,
      description: config.job.description,
      model: config.model.hf_assets_path,
      steps: config.training.steps,
      configYaml: config.toYaml(),
      versions: { torch: info().torchVersion },
    });
    try {
      return await Trainer.#build(config, hooks, { assets, modelConfig, tokenizer, run });
    } catch (error) {
      run.end("failed", String(error));
      throw error;
    }
  }

  static async #build(
    config: Config,
    hooks: TrainerHooks,
    {
      assets,
      modelConfig,
      tokenizer,
      run,
    }: { assets: string; modelConfig: ModelConfig; tokenizer: Tokenizer; run: RunFolder },
  ): Promise<Trainer> {
    const { training, checkpoint } = config;
    const checkpointer = new Checkpointer({
      ...checkpoint,
      folder: run.resolve(checkpoint.folder),
      async_mode: "disabled",
      hfAssetsPath: assets,
      steps: training.steps,
      initial_load_path:
        checkpoint.initial_load_path === null
          ? null
          : await resolveModel(checkpoint.initial_load_path, { key: "checkpoint.initial_load_path" }),
    });
    const start = checkpointer.start();
    hooks.onNote?.(start.note);

    // The data comes first: what it refuses, such as rows of which nothing would be trained, is said before the cost of
    // loading weights.
    const parts = start.kind === "resume" ? checkpointer.partsOf(start.checkpoint) : {};
    const loader = await openLoader({
      ...trainingData(config, tokenizer),
      state: parts.dataloader as LoaderState | undefined,
      onWarning: (message) => hooks.onNote?.(message),
    });
    try {
      await loader.peek();
      return Trainer.#load(config, hooks, {
        assets,
        modelConfig,
        tokenizer,
        run,
        checkpointer,
        start,
        parts,
        loader,
      });
    } catch (error) {
      await loader.close();
      throw error;
    }
  }

  /** Builds the model and fills it from where the run starts. */
  static #load(
    config: Config,
    hooks: TrainerHooks,
    given: {
      assets: string;
      modelConfig: ModelConfig;
      tokenizer: Tokenizer;
      run: RunFolder;
      checkpointer: Checkpointer;
      start: Start;
      /** What the checkpoint holds beside tensors, if there is one. */
      parts: StateParts;
      loader: DataLoader;
    },
  ): Trainer {
    const { modelConfig, checkpointer, start, parts } = given;
    const { training } = config;
    const state = parts.train_state as TrainState | undefined;
    const schedule = parts.lr_scheduler as { step: number } | undefined;
    const seed = training.seed ?? Math.floor(Math.random() * 2 ** 31);
    manualSeed(seed);
    if (training.deterministic) useDeterministicAlgorithms(true);
    const device = config.processes.with_gpus ? "cuda" : "cpu";
    const model = new Decoder(modelConfig, { dtype: dtypeOfName(training.dtype)!, device });
    model.prepare(training.seq_len);
    const optimizer = new AdamW(model.parameters, config.optimizer);

    let startedFrom: string | undefined;
    let step = 0;
    if (start.kind === "resume") {
      step = checkpointer.resume(start.checkpoint, { model: model.parameters, optimizer }).step;
      if (step === start.checkpoint.step) startedFrom = start.checkpoint.path;
    } else if (start.kind === "finished") {
      loadWeights(start.path, model.parameters, { tied: tiedNames(modelConfig) });
      step = start.step;
      startedFrom = start.path;
    } else if (start.kind === "weights") {
      loadWeights(start.path, model.parameters, { tied: tiedNames(modelConfig) });
    } else {
      model.initialize();
    }
    return new Trainer({
      config,
      hooks,
      ...given,
      model,
      optimizer,
      seed: state?.seed ?? seed,
      step,
      tokens: state?.tokens ?? 0,
      scheduleStart: start.kind === "resume" ? step - (schedule?.step ?? 0) : 0,
      startedFrom,
    });
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
    return forecastMemory(this.config, this.modelConfig);
  }

  get checkpointer(): Checkpointer {
    return this.#checkpointer;
  }
  /** Of the next step, as the schedule has it. */
  get learningRate(): number {
    const { optimizer, lr_scheduler: schedule, training } = this.config;
    const scheduled = this.#step - this.#scheduleStart;
    return optimizer.lr * factor(scheduled, { ...schedule, steps: training.steps });
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
    const { steps, gc_freq: collectEvery } = this.config.training;
    const { eval_every_n_steps: evalEvery } = this.config.eval;
    this.#clock.restart();
    try {
      if (this.config.checkpoint.create_seed_checkpoint) {
        await this.save();
        this.#hooks.onNote?.(
          "checkpoint.create_seed_checkpoint: the initial state is saved, nothing is trained",
        );
        this.stop();
      }
      while (this.#step < steps && !this.stopped.aborted) {
        await this.trainStep();
        const last = this.#step === steps;
        if (
          this.derived.evalDatasets.length > 0 &&
          (last || (evalEvery !== null && this.#step % evalEvery === 0))
        ) {
          await this.evaluate();
        }
        if (this.#checkpointer.isDue(this.#step)) await this.save();
        if (this.#step % collectEvery === 0) globalThis.gc?.();
        // Signals and messages are handled between steps.
        await new Promise((resolve) => setImmediate(resolve));
      }
      const unsaved = this.#step > this.#firstStep && this.#savedAt?.step !== this.#step;
      if (this.stopped.aborted && this.#step < steps && unsaved) await this.save();
      const status = this.#step < steps ? "stopped" : "finished";
      this.run.end(status === "finished" ? "finished" : "interrupted");
      this.#stop = new AbortController(); // another train() goes on
      return { step: this.#step, status, checkpoint: this.#savedAt?.path, runFolder: this.run.path };
    } catch (error) {
      this.run.end("failed", error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  /** One optimizer step: all its micro-batches, clipping, update. */
  async trainStep(): Promise<MetricRecord> {
    const { training } = this.config;
    const batches: Batch[] = [];
    for (let i = 0; i < this.derived.accumulationSteps; i++) {
      const batch = await this.loader.next();
      if (!batch) throw new Error("the loader ended");
      batches.push(batch);
    }
    const trained = batches.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens.length - batch.paddingTokens, 0);
    const lr = this.learningRate;
    using s = scope();
    void s;
    const loss = this.forwardBackward(batches, trained);
    const parameters = [...this.model.parameters.values()];
    const norm = gradNorm(gradientsOf(parameters));
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
      for (const parameter of parameters) parameter.grad = undefined;
      throw new NonFiniteError({
        step: this.#step + 1,
        loss,
        norm,
        lr,
        rows: batches.flatMap((batch) => batch.rows.flat()),
      });
    }
    this.optimizer.step(lr, { gradScale: clipCoefficient(norm, training.max_norm) });
    for (const parameter of parameters) parameter.grad = undefined;
    this.#step++;
    this.#tokens += tokens;
    const record: MetricRecord = {
      kind: "train",
      step: this.#step,
      steps: training.steps,
      time: Date.now() / 1000,
      loss,
      learning_rate: lr,
      grad_norm: norm,
      epoch: this.loader.epoch,
      ...this.#clock.tick(this.#step, tokens),
      peak_memory_mb: process.resourceUsage().maxRSS / 1024,
    };
    this.#emit(record);
    return record;
  }

  /**
   * Adds the gradients of the batches' mean token loss to the parameters.
   * @param trained trained tokens of all micro-batches of the step, over which the mean is
   * @returns the mean loss
   */
  forwardBackward(batches: readonly Batch[], trained: number): number {
    let loss = 0;
    for (const batch of batches) {
      using s = scope();
      void s;
      loss += forwardBackward(
        this.model,
        toMicroBatch(batch, this.model.device),
        1 / Math.max(1, trained),
        this.#stepOptions,
      ).item();
    }
    return loss;
  }

  /** Mean loss of the held-out data, each data set by itself; those that `stop` cut short have none. */
  async evaluate(): Promise<{ name: string; loss: number; tokens: number }[]> {
    const results: { name: string; loss: number; tokens: number }[] = [];
    const { sources, ...options } = evaluationData(this.config, this.tokenizer);
    for (const source of sources) {
      const loader = await openLoader({
        ...options,
        sources: [source],
        onWarning: (message) => this.#hooks.onNote?.(message),
      });
      try {
        const maxBatches = this.config.eval.max_eval_steps ?? Infinity;
        const evaluated = await evaluateLoader(this.model, loader, { maxBatches, signal: this.stopped });
        if (evaluated === undefined) break;
        const { loss, tokens } = evaluated;
        results.push({ name: source.path, loss, tokens });
        this.#emit({
          kind: "eval",
          step: this.#step,
          time: Date.now() / 1000,
          eval_loss: loss,
          num_tokens: tokens,
          ...(sources.length > 1 ? { dataset: source.path } : {}),
        });
      } finally {
        await loader.close();
      }
    }
    this.#clock.restart();
    return results;
  }

  /** Saves a checkpoint now. */
  async save(): Promise<string | undefined> {
    const state: TrainState = { tokens: this.#tokens, seed: this.#seed };
    const saved = await this.#checkpointer.save({
      step: this.#step,
      model: this.model.parameters,
      optimizer: this.optimizer.state(),
      parts: {
        dataloader: this.loader.stateDict() as unknown as Exact,
        train_state: { ...state },
        lr_scheduler: { step: this.#step - this.#scheduleStart },
      },
      configDigest: createHash("sha256").update(this.config.toYaml()).digest("hex"),
    });
    if (saved) {
      this.#savedAt = { step: saved.step, path: saved.path };
      this.#hooks.onSaved?.(saved.step, saved.path);
    }
    this.#clock.restart();
    return saved?.path;
  }

  /** Steps on the longest possible batch with the optimizer, and what they took. Changes the weights: don't go on from here. */
  measure(): { stepSeconds: number; peakBytes: number } {
    const { local_batch_size: batchSize, seq_len: seqLen } = this.config.training;
    const size = batchSize * seqLen;
    const tokens = Int32Array.from({ length: size }, (_, i) => (i * 31 + 7) % this.modelConfig.vocabSize);
    const batch: Batch = {
      batchSize,
      seqLen,
      tokens,
      labels: tokens,
      positions: Int32Array.from({ length: size }, (_, i) => i % seqLen),
      documentLengths: Array.from({ length: batchSize }, () => [seqLen]),
      rows: Array.from({ length: batchSize }, () => [0]),
      trainedTokens: size,
      paddingTokens: 0,
    };
    resetPeakMemory();
    const begin = performance.now();
    using s = scope();
    void s;
    this.forwardBackward([batch], size);
    const parameters = [...this.model.parameters.values()];
    const norm = gradNorm(gradientsOf(parameters));
    this.optimizer.step(0, { gradScale: clipCoefficient(norm, this.config.training.max_norm) });
    for (const parameter of parameters) parameter.grad = undefined;
    return { stepSeconds: (performance.now() - begin) / 1000, peakBytes: memoryStats().peakBytes };
  }

  /** Ends files and threads. The weights stay until `dispose` of the model. */
  async close(): Promise<void> {
    this.#log.close();
    await this.loader.close();
    await this.#checkpointer.close();
  }

  #emit(record: MetricRecord): void {
    this.#log.write(record);
    this.#hooks.onRecord?.(record);
  }
}

/**
 * Mean loss per trained token over a loader that ends.
 * @returns undefined when the signal ended it before
 */
export async function evaluateLoader(
  model: Decoder,
  loader: DataLoader,
  { maxBatches = Infinity, signal }: { maxBatches?: number | undefined; signal?: AbortSignal } = {},
): Promise<{ loss: number; tokens: number } | undefined> {
  let sum = 0;
  let tokens = 0;
  for (let i = 0; i < maxBatches; i++) {
    // Signals and messages are handled between batches.
    await new Promise((resolve) => setImmediate(resolve));
    if (signal?.aborted) return undefined;
    const batch = await loader.next();
    if (!batch) break;
    using s = scope();
    void s;
    sum += forwardLoss(model, toMicroBatch(batch, model.device)).item();
    tokens += batch.trainedTokens;
  }
  if (tokens === 0)
    throw new UserError(
      "eval.datasets: no token of the held-out data has a label, so there is no loss to report",
    );
  return { loss: sum / tokens, tokens };
}

/** A tied lm_head has no tensor of its own. */
export function tiedNames(config: ModelConfig): Map<string, string> {
  return new Map(config.tieEmbeddings ? [["lm_head.weight", "model.embed_tokens.weight"]] : []);
}

export function stepOptionsOf(config: Config): StepOptions {
  const { mode, selective_ac_option: option } = config.activation_checkpoint;
  const compute = dtypeOfName(config.training.mixed_precision_param)!;
  return {
    checkpointing: mode,
    selective: option === "op" ? "op" : Number(option),
    computeDtype: config.training.dtype === "float32" ? compute : undefined,
  };
}
