// Training as an actor: the trainer of torchforge/train, with its parts to look at between the phases. Loads nothing of it
// before setup.
import { inspect } from "node:util";

import { BaseForgeActor } from "../../actors/index.ts";
import type { Config } from "../../config/index.ts";
import type { Batch, DataLoader, Tokenizer } from "../../data/index.ts";
import type { EvalRecord, StepRecord } from "../../metrics/index.ts";
import { UserError } from "../../util/index.ts";
import type { ChatModel, Trainer, TrainerResult } from "../index.ts";
import { checkRun } from "./check-run.ts";
import { refuseUnsupported } from "./supported.ts";

/** How answers are made. */
export interface AnswerOptions {
  /** Default 128. */
  maxNewTokens?: number;
  /** 0, the default, always takes the likeliest token. */
  temperature?: number;
  topP?: number;
  topK?: number;
  seed?: number;
}

/** What a forward and backward pass found. */
export interface PassResult {
  /** Mean over the trained tokens. */
  loss: number;
  trainedTokens: number;
}

export class TrainerActor extends BaseForgeActor {
  static override readonly module = import.meta.url;
  static override readonly collective: readonly string[] = [
    "answer",
    "evaluate",
    "forwardBackward",
    "save",
    "trainStep",
  ];

  static override readonly adjustable: readonly string[] = [
    "training.steps",
    "training.epochs",
    "training.max_norm",
    "training.gc_freq",
    "optimizer.lr",
    "lr_scheduler",
    "eval",
    "checkpoint.interval",
    "checkpoint.keep_latest_k",
    "checkpoint.last_save_model_only",
    "checkpoint.last_save_in_hf",
    "checkpoint.export_dtype",
    "checkpoint.export",
  ];

  static override async checkConfig(config: Config): Promise<void> {
    await checkRun(config);
  }

  declare model: Trainer["model"] | undefined;
  declare optimizer: Trainer["optimizer"] | undefined;
  declare checkpointer: Trainer["checkpointer"] | undefined;
  declare tokenizer: Tokenizer | undefined;
  declare dataloader: DataLoader | undefined;
  /** The learning rate of the next step. */
  declare lrScheduler: { readonly learningRate: number } | undefined;
  /** Folder of the run: configuration, metrics, logs, checkpoints. */
  runFolder: string | undefined = undefined;
  #trainer: Trainer | undefined;
  #running = false;
  #ended = false;
  #announced = false;

  /** Loads tokenizer, data, model and, if there is one, the checkpoint that the run goes on from. */
  async setup(): Promise<void> {
    refuseUnsupported(this.config);
    const { describeRun, Trainer } = await import("../index.ts");
    const trainer = await Trainer.create(this.runConfig(), {
      onNote: (text) => this.note(text),
      onRecord: (record) => this.record(record),
      onSaved: (step, path) => this.announceCheckpoint(step, path),
    });
    this.#trainer = trainer;
    this.model = trainer.model;
    this.optimizer = trainer.optimizer;
    this.checkpointer = trainer.checkpointer;
    this.tokenizer = trainer.tokenizer;
    this.dataloader = trainer.loader;
    // As they are whenever they are read, on every rank: records are told of rank 0 alone.
    Object.defineProperties(this, {
      currentStep: { get: () => trainer.currentStep, set() {} },
      lrScheduler: { get: () => ({ learningRate: trainer.learningRate }) },
    });
    this.runFolder = trainer.run.path;
    this.#announceOpened(trainer);
    for (const line of this.describe(describeRun(trainer))) this.note(line);
    if (this.stopRequested) trainer.stop();
  }

  /** Runs the steps that are left, evaluating and saving on the way. */
  async run(): Promise<TrainerResult> {
    const trainer = this.trainer("run");
    this.#running = true;
    try {
      return await this.#withFiles(await trainer.train(), trainer);
    } finally {
      this.#ended = true;
      this.#running = false;
    }
  }

  /** The files of `checkpoint.export`, which rank 0 makes of the exported model. */
  async #withFiles(result: TrainerResult, { spec, ranks }: Trainer): Promise<TrainerResult> {
    const { status, model } = result;
    if (spec.checkpoint.export.length === 0 || status !== "finished" || model === undefined || !ranks.isFirst)
      return result;
    const { exportRun } = await import("../../export/index.ts");
    return { ...result, files: await exportRun(spec, model, (text) => this.note(text)) };
  }

  protected override configure(next: Config): void {
    const trainer = this.trainer("configure");
    refuseUnsupported(next);
    const changes = this.config.diff(next);
    const { epochs, steps } = next.training;
    if (epochs !== null && changes.some(({ key }) => key === "training.steps"))
      throw new UserError(
        `training.steps (${steps}) is not used beside training.epochs (${epochs}); give training.epochs: null with it`,
        { exitCode: 2 },
      );
    trainer.configure(next);
    this.#announceOpened(trainer);
    for (const { key, before, after } of changes)
      this.note(`${key}: ${JSON.stringify(before)} → ${JSON.stringify(after)}`);
  }

  /** Closes files, threads and the checkpointer. */
  async cleanup(): Promise<void> {
    if (this.#trainer === undefined) return;
    if (!this.#ended) this.#trainer.run.end("interrupted");
    await this.#trainer.close();
  }

  /** Ends the run after the step that is under way, with a checkpoint. */
  override stop(): void {
    super.stop();
    this.#trainer?.stop();
  }

  /** One optimizer step: all its micro-batches, clipping, update. Gives its record. */
  async trainStep(): Promise<StepRecord> {
    const trainer = this.#idle("trainStep");
    const record = await trainer.trainStep();
    this.#announceOpened(trainer);
    return record as StepRecord;
  }

  /**
   * A forward and backward pass, to see what it gives: its gradients are dropped, weights and data position stay.
   * @param batches micro-batches; default: the one that comes next
   */
  async forwardBackward(batches?: readonly Batch[]): Promise<PassResult> {
    const trainer = this.#idle("forwardBackward");
    const given = batches ?? [(await trainer.loader.peek())!];
    if (!Array.isArray(given))
      throw new UserError(
        `forwardBackward: expected a list of batches, found ${inspect(given, { depth: 0 })}`,
      );
    return trainer.forwardBackward(given);
  }

  /** Mean loss of each held-out data set. */
  async evaluate(): Promise<Pick<EvalRecord, "eval_loss" | "num_tokens" | "dataset">[]> {
    const results = await this.#idle("evaluate").evaluate();
    return results.map(({ name, loss, tokens }) => ({ dataset: name, eval_loss: loss, num_tokens: tokens }));
  }

  /** Saves a checkpoint now; gives its folder, undefined where checkpoints are turned off. */
  async save(): Promise<string | undefined> {
    const trainer = this.#idle("save");
    const path = await trainer.save();
    this.#announceOpened(trainer);
    return path;
  }

  /** Answers of the model as it is now. */
  async answer(prompts: readonly string[], options: AnswerOptions = {}): Promise<string[]> {
    const chat = await this.chatModel("answer");
    return this.trainer("answer").withWholeModel(() =>
      chat.answer(prompts, { maxNewTokens: 128, ...options }),
    );
  }

  protected async chatModel(caller: string): Promise<ChatModel> {
    const trainer = this.#idle(caller);
    const [{ ChatModel }, { wordingOf }] = await Promise.all([
      import("../index.ts"),
      import("../../data/index.ts"),
    ]);
    return new ChatModel(trainer.model, trainer.tokenizer, wordingOf(trainer.loader.formats));
  }

  /** The configuration of the run, for a subclass that changes it. */
  protected runConfig(): Config {
    return this.config;
  }

  /** The lines that say what the run is about to do. */
  protected describe(lines: readonly string[]): readonly string[] {
    return lines;
  }

  /** @throws UserError before setup */
  protected trainer(caller: string): Trainer {
    if (this.#trainer === undefined)
      throw new UserError(`${caller}(): the actor is not set up yet; await spawner.setup() first`);
    return this.#trainer;
  }

  /** The folder of a finished run is opened only when more is asked of the run. */
  #announceOpened({ run }: Trainer): void {
    if (!run.isOpen || this.#announced) return;
    this.#announced = true;
    this.announceFolder(run.path);
  }

  #idle(caller: string): Trainer {
    if (this.#running)
      throw new UserError(
        `${caller}(): training is running; call it before run() or after it, or stop() the run first`,
      );
    return this.trainer(caller);
  }
}
