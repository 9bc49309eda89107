// A model folder as GGUF files, for llama.cpp and Ollama. Every file is read again and compared with the model.
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";

import { loadWeights } from "../../checkpoint/index.ts";
import { loadTokenizer, type Tokenizer } from "../../data/index.ts";
import { ggufTensorBytes, writeGguf, type GgufEntry } from "../../gguf/index.ts";
import {
  blockSpecs,
  Decoder,
  families,
  readModelConfig,
  type Family,
  type ModelConfig,
} from "../../models/index.ts";
import { tiedNames } from "../../nn/index.ts";
import { openModelWeights } from "../../safetensors/index.ts";
import { scope, type Tensor } from "../../torch/index.ts";
import { checkParity, compareLogits, logitsOfTexts } from "../../train/index.ts";
import { UserError } from "../../util/index.ts";
import { modelEntries } from "./metadata.ts";
import { fillFromGguf } from "./reload.ts";
import { ggufTensors } from "./tensors.ts";
import { tokenizerEntries } from "./tokenizer.ts";
import type { GgufFileType } from "./types.ts";

export interface GgufExportOptions {
  /** One file each. */
  readonly types: readonly GgufFileType[];
  readonly outputFolder: string;
  /** Of the files and in their metadata. Default: the model folder's. */
  readonly name?: string | undefined;
  /** llama.cpp's name of the way in which the tokenizer cuts text. Default: found. */
  readonly preTokenizer?: string | undefined;
  /** Loss on held-out rows, if it is to be measured. */
  readonly lossOf?: ((model: Decoder, tokenizer: Tokenizer) => Promise<number>) | undefined;
  readonly onProgress?: ((file: string, done: number, total: number) => void) | undefined;
}

export interface GgufExport {
  readonly type: GgufFileType;
  readonly file: string;
  readonly bytes: number;
  readonly bitsPerWeight: number;
  /** What the comparison found, for the user. */
  readonly parity: string;
  /** Mean per held-out token; undefined where none was measured. */
  readonly loss?: number | undefined;
}

export interface GgufExports {
  readonly files: readonly GgufExport[];
  /** Of the model that was exported. */
  readonly loss?: number | undefined;
}

/**
 * Writes a GGUF file of each type.
 * @throws UserError for a family, a tokenizer or a weight that llama.cpp doesn't have, a file that exists, and where what was
 *   written doesn't compute what the model does
 *
 * @example
 * ```ts no-run
 * import { exportGguf } from "torchforge/export";
 *
 * const { files } = await exportGguf("outputs/run/export", { types: ["Q4_K_M"], outputFolder: "gguf" });
 * console.log(files[0]?.file, files[0]?.parity);
 * ```
 */
export async function exportGguf(folder: string, options: GgufExportOptions): Promise<GgufExports> {
  const { config, names, tokenizer, tokenizerPart } = checkGgufExport(folder, options);
  const name = options.name ?? basename(resolve(folder));
  const paths = options.types.map((type) => join(options.outputFolder, `${name}-${type}.gguf`));
  const taken = paths.find((path) => existsSync(path));
  if (taken !== undefined)
    throw new UserError(`${taken}: is there already. Remove it, or give another --output-dir or --name`, {
      exitCode: 2,
    });
  using _ = scope();
  const model = new Decoder(config);
  const tied = { tied: tiedNames(blockSpecs(config)) };
  loadWeights(folder, model.parameters, tied);
  const expected = logitsOfTexts(model, tokenizer);
  const loss = await options.lossOf?.(model, tokenizer);
  using source = openModelWeights(folder);
  const files: GgufExport[] = [];
  for (const [i, type] of options.types.entries()) {
    const path = paths[i]!;
    const tensors = ggufTensors(source, config, names, type, folder);
    const metadata = new Map([...modelEntries(config, names, type, name), ...tokenizerPart]);
    const bytes = writeGguf(path, metadata, tensors, (done, total) =>
      options.onProgress?.(path, done, total),
    );
    const weights = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const weightBytes = tensors.reduce((sum, tensor) => sum + ggufTensorBytes(tensor), 0);
    if (i > 0) loadWeights(folder, model.parameters, tied);
    fillFromGguf(path, model, tied.tied);
    files.push({
      type,
      file: path,
      bytes,
      bitsPerWeight: (8 * weightBytes) / weights,
      parity: parityOf(model, tokenizer, expected, type, path),
      loss: await options.lossOf?.(model, tokenizer),
    });
  }
  return { files, loss };
}

/**
 * Whether llama.cpp has this model, before anything is trained or read.
 * @throws UserError
 */
export function checkGgufExport(
  folder: string,
  {
    key = "--to gguf",
    preTokenizer,
  }: { readonly key?: string } & Pick<GgufExportOptions, "preTokenizer"> = {},
): {
  readonly config: ModelConfig;
  readonly names: NonNullable<Family["gguf"]>;
  readonly tokenizer: Tokenizer;
  readonly tokenizerPart: readonly (readonly [string, GgufEntry])[];
} {
  const config = readModelConfig(folder);
  const names = namesOf(config, folder, key);
  const tokenizer = loadTokenizer(folder);
  const tokenizerPart = tokenizerEntries(tokenizer, config.vocabSize, folder, preTokenizer);
  return { config, names, tokenizer, tokenizerPart };
}

/** The weights were compared one by one; this shows what their rounding comes to. In float32 there is none. */
function parityOf(
  model: Decoder,
  tokenizer: Tokenizer,
  expected: Tensor,
  type: GgufFileType,
  path: string,
): string {
  using _ = scope();
  const found = logitsOfTexts(model, tokenizer);
  return type === "F32" ? checkParity(found, expected, "float32", path) : compareLogits(found, expected).line;
}

function namesOf(config: ModelConfig, folder: string, key: string): NonNullable<Family["gguf"]> {
  const family = families.find(({ modelType }) => modelType === config.family);
  if (config.quantization !== undefined || config.tower !== undefined)
    throw new UserError(
      `${key}: ${folder} ${config.tower === undefined ? "is quantized already: give the model that it was made from" : "takes images or sound as well: of such models no GGUF is written"}`,
      { exitCode: 2 },
    );
  if (family?.gguf !== undefined && config.moe === undefined) return family.gguf;
  const known = families.filter(({ gguf }) => gguf !== undefined).map(({ models }) => models);
  throw new UserError(
    `${key}: ${folder} is a ${family?.models ?? config.family} model; GGUF is written of ${known.join(", ")}, without experts`,
    { exitCode: 2 },
  );
}
