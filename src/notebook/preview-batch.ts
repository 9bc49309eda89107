// `previewBatch(config)`: what of the training data is trained, token by token, as the run will see it.
import { Config, type ConfigInput } from "../config/index.ts";
import { UserError } from "../util/index.ts";
import { RichOutput } from "./rich-output.ts";

export interface PreviewOptions {
  /** How many batches; default 1. */
  readonly batches?: number;
  /** How many documents of each are shown; default 4. */
  readonly documents?: number;
}

/**
 * The first batches of a run, the trained tokens marked. They are read in this process, without the model's weights.
 * @throws UserError for a model or data that aren't there
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
  const whole = config instanceof Config ? config : Config.create(config);
  const warnings: string[] = [];
  const { batches, tokenizer, placeOf } = await firstBatches(
    whole.spec,
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
