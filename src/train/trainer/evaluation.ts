// Loss on the held-out data of a run, each data set by itself. The data stays open from the first evaluation to the run's end.
import { CommError } from "../../comm/index.ts";
import type { RunSpec } from "../../config/index.ts";
import { evaluationData, HeldOutData, wordingOf, type DataLoader, type Tokenizer } from "../../data/index.ts";
import type { EvalRecord } from "../../metrics/index.ts";
import type { Decoder } from "../../models/index.ts";
import type { Ranks } from "../../parallel/index.ts";
import { evaluateLoader, noLabels } from "../engine/evaluate.ts";
import { TorchError } from "../../torch/index.ts";
import { rowsFailure } from "../engine/rows-failure.ts";
import type { Update } from "../engine/update.ts";

/** What an evaluation found on one data set. */
export interface HeldOut {
  readonly name: string;
  /** Mean over the trained tokens. */
  readonly loss: number;
  readonly tokens: number;
}

export interface EvaluationParts {
  readonly model: Decoder;
  readonly tokenizer: Tokenizer;
  /** Of the training data. */
  readonly loader: DataLoader;
  readonly ranks: Ranks;
  readonly heldOut: HeldOutData;
  readonly update: Update;
  readonly onRecord: (record: EvalRecord) => void;
  readonly onNote: (text: string) => void;
}

/** Of the held-out data's loaders. */
const heldOutOptions = (
  spec: RunSpec,
  tokenizer: Tokenizer,
  training: DataLoader,
  ranks: Ranks,
  onWarning: (text: string) => void,
): Parameters<HeldOutData["open"]>[0] => ({
  ...evaluationData(spec, tokenizer, ranks.data),
  wording: wordingOf(training.formats), // questions are asked as they are in training
  onWarning,
});

/**
 * The held-out data of a run, read once as an evaluation reads it: what can't be used is found before the first step, and not
 * after the last. Every rank calls it.
 * @throws UserError
 */
export async function openHeldOut(
  spec: RunSpec,
  tokenizer: Tokenizer,
  training: DataLoader,
  ranks: Ranks,
  onNote: (text: string) => void,
): Promise<HeldOutData> {
  const heldOut = new HeldOutData();
  const { datasets, maxBatches } = spec.evaluation;
  if (datasets.length === 0) return heldOut;
  try {
    const options = heldOutOptions(spec, tokenizer, training, ranks, onNote);
    const counts = await ranks.runOnAll(() => heldOut.check(options, maxBatches));
    if (ranks.sumOverData(counts).includes(0)) throw noLabels();
    return heldOut;
  } catch (error) {
    await heldOut.close();
    throw error;
  }
}

export class Evaluation {
  readonly #parts: EvaluationParts;
  #last: { step: number; results: readonly HeldOut[] } | undefined;

  constructor(parts: EvaluationParts) {
    this.#parts = parts;
  }

  /** What was found after `step`; undefined where the last evaluation was at another one. */
  resultsAt(step: number): readonly HeldOut[] | undefined {
    return this.#last?.step === step ? this.#last.results : undefined;
  }

  /** Mean loss of each data set; those that `signal` cuts short have none. Every rank calls it. */
  async run(spec: RunSpec, step: number, signal: AbortSignal): Promise<HeldOut[]> {
    const { model, tokenizer, loader: training, ranks, heldOut, update, onRecord, onNote } = this.#parts;
    const results: HeldOut[] = [];
    const sets = await ranks
      .runOnAll(() => heldOut.open(heldOutOptions(spec, tokenizer, training, ranks, onNote)))
      .catch((error: unknown) => {
        throw error instanceof CommError || error instanceof TorchError ? error : rowsFailure({ error });
      });
    for (const { path, loader } of sets) {
      try {
        const evaluated = await evaluateLoader(model, loader, {
          maxBatches: spec.evaluation.maxBatches,
          signal,
          ranks,
          lossOf: (one) => update.lossOf(one, spec.localBatchSize),
        });
        if (evaluated === undefined) break;
        const { loss, tokens } = evaluated;
        results.push({ name: path, loss, tokens });
        onRecord({
          kind: "eval",
          step,
          time: Date.now() / 1000,
          eval_loss: loss,
          num_tokens: tokens,
          ...(sets.length > 1 ? { dataset: path } : {}),
        });
      } finally {
        await loader.endThread();
      }
    }
    this.#last = { step, results };
    return results;
  }

  /** Ends threads and closes files. */
  async close(): Promise<void> {
    await this.#parts.heldOut.close();
  }
}
