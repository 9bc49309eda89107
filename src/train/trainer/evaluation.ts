// Loss on the held-out data of a run, each data set by itself. The data stays open from the first evaluation to the run's end.
import { CommError } from "../../comm/index.ts";
import type { RunSpec } from "../../config/index.ts";
import { evaluationData, HeldOutData, wordingOf, type DataLoader, type Tokenizer } from "../../data/index.ts";
import type { EvalRecord } from "../../metrics/index.ts";
import type { Decoder } from "../../models/index.ts";
import type { Ranks } from "../../parallel/index.ts";
import { evaluateLoader } from "../engine/evaluate.ts";
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
  readonly update: Update;
  readonly onRecord: (record: EvalRecord) => void;
  readonly onNote: (text: string) => void;
}

export class Evaluation {
  readonly #parts: EvaluationParts;
  readonly #data = new HeldOutData();
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
    const { model, tokenizer, loader: training, ranks, update, onRecord, onNote } = this.#parts;
    const wording = wordingOf(training.formats); // questions are asked as they are in training
    const results: HeldOut[] = [];
    const sets = await ranks
      .runOnAll(() =>
        this.#data.open({ ...evaluationData(spec, tokenizer, ranks.data), wording, onWarning: onNote }),
      )
      .catch((error: unknown) => {
        throw error instanceof CommError ? error : rowsFailure({ error });
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
    await this.#data.close();
  }
}
