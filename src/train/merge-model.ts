// `forge merge`: a model folder and adapters to a model folder, which is then read again and compared.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { loadWeights, saveWeights } from "../checkpoint/index.ts";
import { loadTokenizer } from "../data/index.ts";
import { resolveModel } from "../hub/index.ts";
import {
  adaptersOf,
  blockSpecs,
  Decoder,
  ownPrefixesOf,
  readModelConfig,
  tunedBlocks,
} from "../models/index.ts";
import { fileNames } from "../nn/index.ts";
import { dtypeOfName, float32, scope, type Tensor } from "../torch/index.ts";
import { expandHome, readJsonObject, UserError } from "../util/index.ts";
import { adapterIn } from "./assembly/trained-blocks.ts";
import { mergeAdapters, openAdapter, otherBaseNote } from "./merge-adapter.ts";
import { checkParity, logitsOfTexts } from "./parity.ts";

export interface MergeOptions {
  readonly adapters: readonly { readonly path: string; readonly weight: number }[];
  /** Default: the one that the first adapter names. */
  readonly model?: string | undefined;
  readonly outputFolder: string;
  /** Of the weights that are written. Default: that of the model's files. */
  readonly dtype?: "float32" | "bfloat16" | "float16" | undefined;
}

/**
 * Writes the merged model.
 * @returns lines for the user
 * @throws UserError where an adapter isn't one of the model, and where what was written doesn't compute what was merged
 */
export async function mergeModel(
  { adapters, outputFolder, ...options }: MergeOptions,
  onNote: (text: string) => void,
): Promise<string[]> {
  if (existsSync(outputFolder) && readdirSync(outputFolder).length > 0)
    throw new UserError(`--output-dir: expected a new or empty folder, found files in ${outputFolder}`, {
      exitCode: 2,
    });
  const reference = options.model ?? baseOfAdapter(adapters[0]!.path);
  const base = await resolveModel(reference, { key: "--model" });
  // Of a quantized model the numbers: what they are merged with is none of its format's.
  const { quantization, ...config } = readModelConfig(base);
  const tokenizer = loadTokenizer(base);
  for (const { path } of adapters) {
    const note = otherBaseNote(path, base);
    if (note !== undefined) onNote(note);
  }
  using _ = scope();
  const blocks = blockSpecs(config);
  const merged = new Decoder(config, { dtype: float32 });
  const { note, dtypes } = loadWeights(base, merged.parameters, fileNames(blocks));
  if (note !== undefined) onNote(note);
  const opened = adapters.map(({ path, weight }) => openAdapter(path, config, "--adapter", weight));
  const [single] = opened;
  // Of one whole adapter the unmerged model is another way to the same numbers.
  const expected =
    opened.length === 1 && single!.weight === 1
      ? logitsOfTexts(adapted(config, merged.parameters, adapters[0]!.path, single!.tensors), tokenizer)
      : undefined;
  mergeAdapters(merged.parameters, opened);
  const inMemory = expected ?? logitsOfTexts(merged, tokenizer);
  const named = options.dtype ?? nameOfDtype(dtypes);
  saveWeights(outputFolder, merged.parameters, {
    dtype: dtypeOfName(named),
    sourceFolder: base,
    places: fileNames(blocks).places,
    ownPrefixes: ownPrefixesOf(config),
    ...(quantization !== undefined && { config: { quantization_config: undefined } }),
  });
  loadWeights(outputFolder, merged.parameters, fileNames(blocks));
  const parity = checkParity(logitsOfTexts(merged, tokenizer), inMemory, named, outputFolder);
  const count = adapters.length === 1 ? "an adapter" : `${adapters.length} adapters`;
  return [`${outputFolder}: ${base} with ${count}, ${named}`, parity];
}

function adapted(
  config: ReturnType<typeof readModelConfig>,
  base: ReadonlyMap<string, Tensor>,
  path: string,
  own: ReadonlyMap<string, Tensor>,
): Decoder {
  const adapter = adapterIn(path, "--adapter");
  const adapters = adaptersOf(tunedBlocks(blockSpecs(config), { trainable: [], adapter }));
  return new Decoder(config, { parameters: new Map([...base, ...own]), adapters });
}

/** @throws UserError where the adapter's file doesn't say it */
export function baseOfAdapter(path: string): string {
  adapterIn(path, "--adapter");
  const file = join(expandHome(path), "adapter_config.json");
  const { base_model_name_or_path: base } = readJsonObject(file);
  if (typeof base !== "string" || base === "")
    throw new UserError(`--model: ${file} doesn't say which model it adapts; give it`, { exitCode: 2 });
  return existsSync(base) ? base : `hf://${base}`;
}

/** Of the files' weights. */
function nameOfDtype(given: readonly string[]): "float32" | "bfloat16" | "float16" {
  const found = given.filter((name) => name !== "U8"); // quantized ones
  if (found.length === 1 && found[0] === "BF16") return "bfloat16";
  return found.length === 1 && found[0] === "F16" ? "float16" : "float32";
}
