// What a first recipe looks at: the model's config.json and tokenizer, and every row.
import { Config } from "../../config/index.ts";
import { dataStats, modelTokenizer, trainingData } from "../../data/index.ts";
import { readModelConfig } from "../../models/index.ts";
import type { RecipeFacts } from "./choices.ts";

/**
 * @param folder where the model's config.json is
 * @param onNote told what is odd in the rows
 */
export async function examine(
  asked: Pick<RecipeFacts, "model" | "data" | "machine">,
  folder: string,
  onNote: (text: string) => void,
): Promise<RecipeFacts> {
  const modelConfig = readModelConfig(folder);
  const { spec } = Config.create({
    model: { hf_assets_path: asked.model },
    training: { dataset: asked.data, seq_len: modelConfig.maxPositions, on_bad_row: "skip" },
  });
  const tokenizer = await modelTokenizer(asked.model);
  const part = { rank: 0, worldSize: 1 };
  const stats = await dataStats({ ...trainingData(spec, tokenizer, part), onWarning: onNote });
  return { ...asked, modelConfig, stats };
}
