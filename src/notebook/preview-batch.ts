// `previewBatch(config)`: shows, token by token, what a run will train on.
import { Config, type ConfigInput } from "../config/index.ts";
import { UserError } from "../util/index.ts";
import { RichOutput } from "./rich-output.ts";

export interface PreviewOptions {
  /** Number of batches. Default 1. */
  readonly batches?: number;
  /** Number of documents shown per batch. Default 4. */
  readonly documents?: number;
}

/**
 * Shows the first batches of a run, with the trained tokens marked. Reads them in this process, without loading the model's
 * weights.
 * @throws UserError if the model folder or the data doesn't exist
 * @example
 * ```ts
 * import { previewBatch } from "torchforge/notebook";
 * import { quickstartData } from "torchforge/quickstart";
 *
 * const preview = await previewBatch({
 *   model: { hf_assets_path: "./model" },
 *   training: { datasets: [{ path: quickstartData.train, format: "instruction" }], seq_len: 128 },
 * });
 * console.log(String(preview));
 * ```
 */
export async function previewBatch(
  config: Config | ConfigInput,
  options: PreviewOptions = {},
): Promise<RichOutput> {
  const { batches: count = 1, documents = 4 } = options;
  for (const [name, value] of Object.entries({ batches: count, documents }))
    if (!Number.isInteger(value) || value < 1)
      throw new UserError(`${name}: expected a whole number of at least 1, found ${JSON.stringify(value)}`);
  const { firstBatches, previewFragment, previewText } = await import("../data/index.ts");
  const fullConfig = config instanceof Config ? config : Config.create(config);
  const warnings: string[] = [];
  const { batches, tokenizer, placeOf } = await firstBatches(
    fullConfig.spec,
    count,
    (text) => void warnings.push(text),
  );
  const title = `The first ${count === 1 ? "batch" : `${count} batches`}`;
  const mark = (text: string): string => (text === "" ? "" : `«${text}»`);
  const text = batches.map((batch) =>
    previewText(batch, tokenizer, { mark, heading: (one) => one, placeOf, documents }),
  );
  return new RichOutput({
    "text/html": previewFragment(batches, tokenizer, { title, placeOf, documents }),
    "text/plain": [...warnings, ...text, "«…»: trained."].join("\n"),
  });
}
