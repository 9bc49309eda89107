// Evaluation as an actor: loss and perplexity of a checkpoint on data. The ranks share the data among them.
import { BaseForgeActor } from "../../actors/index.ts";
import type { Tokenizer } from "../../data/index.ts";
import { UserError } from "../../util/index.ts";
import type { ChatModel } from "../index.ts";

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
  static override readonly collective: readonly string[] = ["evaluate"];

  declare model: ChatModel["model"] | undefined;
  declare tokenizer: Tokenizer | undefined;

  async setup(): Promise<void> {
    const { checkpoint, eval: evaluation, model, training } = this.config;
    if (evaluation.datasets.length === 0) {
      throw new UserError(
        "eval.datasets: expected data to evaluate on, found none; e.g. eval.datasets=[{path: heldout.jsonl}]",
        { exitCode: 2 },
      );
    }
    const { ChatModel } = await import("../index.ts");
    const chat =
      checkpoint.initial_load_path === null
        ? await ChatModel.load(model.hf_assets_path, "model.hf_assets_path")
        : await ChatModel.load(checkpoint.initial_load_path, "checkpoint.initial_load_path");
    chat.model.prepare(training.seq_len);
    this.model = chat.model;
    this.tokenizer = chat.tokenizer;
  }

  async run(): Promise<EvaluatorResult> {
    return await this.evaluate();
  }

  /** What run() gives. */
  async evaluate(): Promise<EvaluatorResult> {
    const [{ evaluationData, openLoader }, { evaluateLoader }] = await Promise.all([
      import("../../data/index.ts"),
      import("../index.ts"),
    ]);
    if (this.model === undefined || this.tokenizer === undefined)
      throw new UserError("evaluate(): the actor is not set up yet; await spawner.setup() first");
    const { rank, worldSize } = this;
    const { sources, ...options } = evaluationData(this.config, this.tokenizer, { rank, worldSize });
    const sums: { path: string; sum: number; tokens: number }[] = [];
    for (const source of sources) {
      const loader = await openLoader({
        ...options,
        sources: [source],
        onWarning: (message) => this.note(message),
      });
      try {
        const maxBatches = this.config.eval.max_eval_steps ?? Infinity;
        const found = await evaluateLoader(this.model, loader, { maxBatches });
        const { loss, tokens } = found ?? { loss: 0, tokens: 0 };
        sums.push({ path: source.path, ...(await this.#overRanks(loss * tokens, tokens)) });
      } finally {
        await loader.close();
      }
    }
    const datasets = sums.map(({ path, sum, tokens }) => ({ path, ...meanOf(sum, tokens) }));
    const total = sums.reduce((all, one) => ({ sum: all.sum + one.sum, tokens: all.tokens + one.tokens }), {
      sum: 0,
      tokens: 0,
    });
    return { ...meanOf(total.sum, total.tokens), datasets };
  }

  cleanup(): void {
    this.model = undefined;
  }

  async #overRanks(sum: number, tokens: number): Promise<{ sum: number; tokens: number }> {
    if (this.worldSize === 1) return { sum, tokens };
    const [{ allReduce }, { float64, fromArray }] = await Promise.all([
      import("../../comm/index.ts"),
      import("../../torch/index.ts"),
    ]);
    const both = fromArray([sum, tokens], { dtype: float64 });
    allReduce(both);
    const [allSum, allTokens] = both.tolist() as [number, number];
    return { sum: allSum, tokens: allTokens };
  }
}

const meanOf = (sum: number, tokens: number): Evaluated => {
  const loss = sum / tokens;
  return { loss, perplexity: Math.exp(loss), tokens };
};
