// The tokenizer of a model, by itself: for looking at data, or preparing it.
import type { Tokenizer } from "../../data/index.ts";

/**
 * Loads a model's tokenizer, its special tokens and the tokens that end an answer.
 * @param hfAssetsPath model folder, or `hf://org/name`
 * @param tokenizerFilename and the next two: names in that folder; all but the first may be missing there
 * @throws UserError naming the folder or the file
 *
 * @example
 * ```ts
 * import { setupTokenizer } from "torchforge";
 *
 * const tokenizer = await setupTokenizer("./model");
 * console.log(tokenizer.encode("Hello"));
 * ```
 */
export async function setupTokenizer(
  hfAssetsPath: string,
  tokenizerFilename = "tokenizer.json",
  tokenizerConfigFilename = "tokenizer_config.json",
  generationConfigFilename = "generation_config.json",
): Promise<Tokenizer> {
  const [{ loadTokenizer }, { resolveModel }] = await Promise.all([
    import("../../data/index.ts"),
    import("../../hub/index.ts"),
  ]);
  const folder = await resolveModel(hfAssetsPath, { key: "hfAssetsPath" });
  return loadTokenizer(folder, {
    tokenizer: tokenizerFilename,
    tokenizerConfig: tokenizerConfigFilename,
    generationConfig: generationConfigFilename,
  });
}
