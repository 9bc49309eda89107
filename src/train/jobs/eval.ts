// The job of `forge eval`: loss and perplexity of a model on data.
import { openLoader, type FormatName, type TrainOn } from "../../data/index.ts";
import { resolveDataset } from "../../hub/index.ts";
import { ChatModel } from "../inference.ts";
import { evaluateLoader } from "../trainer.ts";
import type { JobContext } from "./context.ts";

export interface EvalJob {
  model: string;
  data: string;
  split: string;
  format: FormatName | "auto";
  seqLen: number;
  batchSize: number;
  maxBatches: number | undefined;
  trainOn: TrainOn;
}

export interface EvalResult {
  loss: number;
  perplexity: number;
  tokens: number;
}

export async function run(job: EvalJob, context: JobContext): Promise<EvalResult> {
  const chat = await ChatModel.load(job.model);
  chat.model.prepare(job.seqLen);
  const loader = await openLoader({
    sources: [{ path: job.data, subset: null, split: job.split, format: job.format, columns: {} }],
    tokenizer: chat.tokenizer,
    trainOn: job.trainOn,
    seqLen: job.seqLen,
    batchSize: job.batchSize,
    shuffle: false,
    endless: false,
    onWarning: context.note,
    resolve: async (name, split, subset) => [
      ...(await resolveDataset(name, split, subset === null ? {} : { config: subset })).files,
    ],
  });
  try {
    const { loss, tokens } = (await evaluateLoader(chat.model, loader, { maxBatches: job.maxBatches }))!;
    return { loss, perplexity: Math.exp(loss), tokens };
  } finally {
    await loader.close();
  }
}
