// Loss on held-out rows of a model in memory: what an export costs in quality.
import { Config } from "../config/index.ts";
import { evaluationData, HeldOutData, type Tokenizer } from "../data/index.ts";
import type { Decoder } from "../models/index.ts";
import { evaluateLoader } from "../train/index.ts";

export interface HeldOutRows {
  /** The model's folder. */
  readonly model: string;
  readonly path: string;
  readonly split: string;
  readonly maxBatches: number;
}

/** Measures on these rows, each time it is called. */
export function heldOutLoss({
  model: folder,
  path,
  split,
  maxBatches: most,
}: HeldOutRows): (model: Decoder, tokenizer: Tokenizer) => Promise<number> {
  const config = Config.create({
    model: { hf_assets_path: folder },
    processes: { procs: 1 },
    training: { seq_len: 1024, local_batch_size: 1 },
    eval: { datasets: [{ path, split }], max_eval_steps: most },
  });
  return async (model, tokenizer) => {
    const heldOut = new HeldOutData();
    const { maxBatches } = config.spec.evaluation;
    model.prepare(config.spec.seqLen);
    try {
      const sets = await heldOut.open({
        ...evaluationData(config.spec, tokenizer, { rank: 0, worldSize: 1 }),
        wording: undefined,
        onWarning: (message) => console.error(message),
      });
      let sum = 0;
      let tokens = 0;
      for (const { loader } of sets) {
        const found = await evaluateLoader(model, loader, { maxBatches });
        await loader.endThread();
        sum += found!.loss * found!.tokens;
        tokens += found!.tokens;
      }
      return sum / tokens;
    } finally {
      await heldOut.close();
    }
  };
}
