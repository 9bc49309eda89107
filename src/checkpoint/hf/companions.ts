// What makes a folder of weights a model folder: config.json and the tokenizer's files, copied from where the model came
// from. Knows nothing of tensors, so that a thread without libtorch can use it.
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configText, parseKeepingNumbers } from "../../util/index.ts";

export interface CompanionOptions {
  /** The model folder to take the files from. */
  readonly sourceFolder?: string | undefined;
  /** The chat template that the model was trained with, where it isn't the one of the model folder. */
  readonly chatTemplate?: string | undefined;
  /** Changes to config.json. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  /** False: the folder is no model by itself, and gets the tokenizer's files alone. Default true. */
  readonly isModel?: boolean | undefined;
}

/** What makes a model folder complete besides config.json and the weights. */
const companions = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
  "additional_chat_templates",
  "preprocessor_config.json",
  "processor_config.json",
  "video_preprocessor_config.json",
  "tokenizer.model",
  "vocab.json",
  "merges.txt",
];

/** Returns the names of the files written. `dtype` is the one to name in config.json. */
export function copyCompanions(
  folder: string,
  options: CompanionOptions,
  dtype: string | undefined,
): string[] {
  const { sourceFolder, isModel = true } = options;
  const written: string[] = [];
  const source =
    isModel && sourceFolder !== undefined && existsSync(join(sourceFolder, "config.json"))
      ? (parseKeepingNumbers(readFileSync(join(sourceFolder, "config.json"), "utf8")) as Record<
          string,
          unknown
        >)
      : undefined;
  if (source !== undefined || options.config !== undefined) {
    const config: Record<string, unknown> = { ...source, ...options.config };
    // Transformers 5 writes "dtype" and reads both; 4 knows "torch_dtype" only.
    if (dtype !== undefined) config["dtype" in config ? "dtype" : "torch_dtype"] = dtype;
    writeFileSync(join(folder, "config.json"), configText(config));
    written.push("config.json");
  }
  if (sourceFolder === undefined) return written;
  for (const name of companions) {
    if (!isModel && name === "generation_config.json") continue;
    if (!existsSync(join(sourceFolder, name))) continue;
    // A link of the hub's cache would not be a file elsewhere.
    cpSync(join(sourceFolder, name), join(folder, name), { recursive: true, dereference: true });
    written.push(name);
  }
  if (options.chatTemplate !== undefined) {
    const name = "chat_template.jinja"; // where it is, Transformers takes no other
    writeFileSync(join(folder, name), options.chatTemplate);
    if (!written.includes(name)) written.push(name);
  }
  return written;
}
