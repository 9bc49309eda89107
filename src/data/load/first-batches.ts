// The first batches of a run as rank 0 gets them, with what it takes to show them. Nothing is trained, no weights are read.
import type { RunSpec } from "../../config/index.ts";
import { rowsOf, type Batch } from "../pack/batch.ts";
import { trainingData } from "./from-config.ts";
import { modelTokenizer } from "../text/model-tokenizer.ts";
import { openLoader } from "./open.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

export interface FirstBatches {
  /** As many as were asked for; fewer where the data is not endless. */
  readonly batches: readonly Batch[];
  readonly tokenizer: Tokenizer;
  /** FILE:LINE of a row that is in one of them. */
  readonly placeOf: (row: number) => string;
}

/** @throws UserError for a model or data that aren't there */
export async function firstBatches(
  spec: RunSpec,
  count: number,
  onWarning?: (message: string) => void,
): Promise<FirstBatches> {
  const tokenizer = await modelTokenizer(spec.model.hfAssetsPath, spec.model.chatTemplate);
  const options = {
    ...trainingData(spec, tokenizer, { rank: 0, worldSize: spec.dataParallelSize }),
    ...(onWarning && { onWarning }),
  };
  const loader = await openLoader(options);
  const batches: Batch[] = [];
  const places = new Map<number, string>();
  try {
    for (let i = 0; i < count; i++) {
      const batch = await loader.next();
      if (batch === undefined) break;
      batches.push(batch);
      for (const row of rowsOf(batch)) places.set(row, loader.placeOf(row));
    }
  } finally {
    await loader.close();
  }
  return { batches, tokenizer, placeOf: (row) => places.get(row)! };
}
