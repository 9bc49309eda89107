// Evaluation as an actor: loss and perplexity of a checkpoint on data. The ranks share the data among them.
import { BaseForgeActor } from "../../actors/index.ts";
import type { Config } from "../../config/index.ts";
import type { HeldOutData, Tokenizer } from "../../data/index.ts";
import { checkpointPath, UserError } from "../../util/index.ts";
import type { ChatModel } from "../index.ts";
import { checkModels } from "./check-run.ts";
import { refuseUnsupported, refuseWithoutGpu } from "./supported.ts";

export interface Evaluated {
  /** Mean per trained token. */
  loss: number;
  perplexity: number;
  /** Trained tokens. */
  tokens: number;
}

export interface EvaluatorResult extends Evaluated {
  /** Each of `eval.datasets` by itself. */
  datasets: (Evaluated & { path: string })[];
}

/**
 * Evaluates `checkpoint.initial_load_path`, or else `model.hf_assets_path`, on `eval.datasets`, with the batch size, length
 * and masking of `training`.
 */
export class EvaluatorActor extends BaseForgeActor {
  static override readonly module = import.meta.url;
  static override readonly collective: readonly string[] = ["evaluate"];

  static override async checkConfig({ spec }: Config): Promise<void> {
    refuseWithoutGpu(spec);
    await checkModels(spec);
    const { checkData } = await import("../../data/index.ts");
    await checkData(spec.evaluation.datasets);
  }

  declare model: ChatModel["model"] | undefined;
  declare tokenizer: Tokenizer | undefined;
  #heldOut: HeldOutData | undefined;
  #wording: ChatModel["wording"];
  #stop = new AbortController();

  async setup(): Promise<void> {
    const { adapter, checkpoint, evaluation, model, quantize, seqLen } = this.config.spec;
    if (evaluation.datasets.length === 0) {
      throw new UserError(
        "eval.datasets: expected data to evaluate on, found none; e.g. eval.datasets=[{path: heldout.jsonl}]",
        { exitCode: 2 },
      );
    }
    refuseUnsupported(this.config);
    const { ChatModel } = await import("../index.ts");
    const onNote = (text: string): void => this.note(text);
    const path = adapter?.initialLoadPath ?? null;
    const options = {
      device: this.device,
      chatTemplate: model.chatTemplate,
      adapter: path,
      quantize,
      onNote,
    };
    const chat =
      checkpoint.initialLoadPath === null
        ? await ChatModel.load(model.hfAssetsPath, { ...options, key: "model.hf_assets_path" })
        : await ChatModel.load(checkpointPath(checkpoint.initialLoadPath), {
            ...options,
            key: "checkpoint.initial_load_path",
          });
    chat.model.prepare(seqLen);
    this.model = chat.model;
    this.tokenizer = chat.tokenizer;
    this.#wording = chat.wording;
  }

  async run(): Promise<EvaluatorResult> {
    return await this.evaluate();
  }

  /** What run() gives. */
  async evaluate(): Promise<EvaluatorResult> {
    if (this.model === undefined || this.tokenizer === undefined)
      throw new UserError("evaluate(): the actor is not set up yet; await spawner.setup() first");
    const [{ evaluationData, HeldOutData }, { evaluateLoader }, { worldGroup }, { Ranks }] =
      await Promise.all([
        import("../../data/index.ts"),
        import("../index.ts"),
        import("../../comm/index.ts"),
        import("../../parallel/index.ts"),
      ]);
    const { rank, worldSize } = this;
    const part = { rank, worldSize };
    const ranks = worldSize === 1 ? Ranks.one : Ranks.ofWorld(worldGroup(), part);
    this.#heldOut ??= new HeldOutData();
    const sets = await this.#heldOut.open({
      ...evaluationData(this.config.spec, this.tokenizer, part),
      wording: this.#wording,
      onWarning: (message) => this.note(message),
    });
    const datasets: EvaluatorResult["datasets"] = [];
    for (const { path, loader } of sets) {
      try {
        const { maxBatches } = this.config.spec.evaluation;
        const { signal } = this.#stop;
        const found = await evaluateLoader(this.model, loader, { maxBatches, ranks, signal });
        if (found === undefined) {
          this.#stop = new AbortController(); // the next one goes to its end
          throw new UserError("the evaluation was stopped before its end, so there is no loss to report");
        }
        datasets.push({ path, ...found, perplexity: Math.exp(found.loss) });
      } finally {
        await loader.endThread();
      }
    }
    const tokens = datasets.reduce((sum, one) => sum + one.tokens, 0);
    const loss = datasets.reduce((sum, one) => sum + one.loss * (one.tokens / tokens), 0);
    return { loss, perplexity: Math.exp(loss), tokens, datasets };
  }

  override stop(): void {
    super.stop();
    this.#stop.abort();
  }

  async cleanup(): Promise<void> {
    await this.#heldOut?.close();
    this.model = undefined;
  }
}
