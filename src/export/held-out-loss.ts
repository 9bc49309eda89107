// Loss on held-out rows of a model in memory: what an export costs in quality.
import type { Config } from "../config/index.ts";
import { evaluationData, HeldOutData, type Tokenizer } from "../data/index.ts";
import type { Decoder } from "../models/index.ts";
import { evaluateLoader } from "../train/index.ts";

/** Measures on `eval.datasets` of the configuration, each time it is called on the same rows. */
export function heldOutLoss(config: Config): (model: Decoder, tokenizer: Tokenizer) => Promise<number> {
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
