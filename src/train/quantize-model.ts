// `forge quantize`: a model folder to one whose linear layers are in nf4, which is then read again and compared.
import { existsSync, readdirSync } from "node:fs";

import { loadWeights, saveQuantized } from "../checkpoint/index.ts";
import { loadTokenizer, type Tokenizer } from "../data/index.ts";
import {
  blockSpecs,
  Decoder,
  formatsOf,
  quantizedBlocks,
  readModelConfig,
  type ModelConfig,
} from "../models/index.ts";
import { fileNames, nf4, type BlockSpec } from "../nn/index.ts";
import { wholeParameters } from "../parallel/index.ts";
import { float32, scope, type Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { checkParity, logitsOfTexts } from "./parity.ts";

export interface QuantizeOptions {
  readonly outputFolder: string;
  readonly doubleQuant: boolean;
  /** Loss on held-out rows. */
  readonly lossOf?: ((model: Decoder, tokenizer: Tokenizer) => Promise<number>) | undefined;
}

/**
 * Writes the quantized model.
 * @param folder the model's
 * @returns lines for the user
 * @throws UserError for a model that can't be written so, and where what was written doesn't compute what was quantized
 */
export async function quantizeModel(
  folder: string,
  { outputFolder, doubleQuant, lossOf }: QuantizeOptions,
): Promise<string[]> {
  if (existsSync(outputFolder) && readdirSync(outputFolder).length > 0)
    throw new UserError(`--output-dir: expected a new or empty folder, found files in ${outputFolder}`, {
      exitCode: 2,
    });
  const config = readModelConfig(folder);
  const plain = blockSpecs(config);
  refuseOthers(folder, config, plain);
  const tokenizer = loadTokenizer(folder);
  const blocks = quantizedBlocks(plain, { format: "nf4", doubleQuant }, "--to nf4");
  const formats = formatsOf(blocks);
  const lossBefore = await measure(config, plain, folder, async (model) => await lossOf?.(model, tokenizer));
  const expected = new Map<string, Tensor>();
  using s = scope();
  await measure(config, blocks, folder, (model) => {
    expected.set("logits", s.keep(logitsOfTexts(model, tokenizer)));
  });
  const names = new Set(formats.keys());
  const { before, after } = saveQuantized(outputFolder, folder, { names, format: nf4(doubleQuant) });
  const written = readModelConfig(outputFolder);
  let parity = "";
  const lossAfter = await measure(written, blockSpecs(written), outputFolder, async (model) => {
    parity = checkParity(logitsOfTexts(model, tokenizer), expected.get("logits")!, "float32", outputFolder);
    return await lossOf?.(model, tokenizer);
  });
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  return [
    `${outputFolder}: ${names.size} matrices in nf4${doubleQuant ? ", with double quantization" : ""}; ${megabytes(before)} → ${megabytes(after)}`,
    parity,
    ...(lossBefore === undefined || lossAfter === undefined
      ? []
      : [
          `loss        ${lossBefore.toFixed(4)} → ${lossAfter.toFixed(4)} on the held-out rows (perplexity ${Math.exp(lossBefore).toFixed(3)} → ${Math.exp(lossAfter).toFixed(3)})`,
        ]),
  ];
}

/** Runs `body` with the model in memory, which then is freed. */
async function measure<T>(
  config: ModelConfig,
  blocks: readonly BlockSpec[],
  folder: string,
  body: (model: Decoder) => T | Promise<T>,
): Promise<T> {
  const formats = formatsOf(blocks);
  const parameters = wholeParameters(blocks, { dtype: float32, device: "cpu" });
  const model = new Decoder(config, { parameters, formats });
  try {
    loadWeights(folder, parameters, { ...fileNames(blocks), formats });
    return await body(model);
  } finally {
    model.dispose();
  }
}

function refuseOthers(folder: string, config: ModelConfig, blocks: readonly BlockSpec[]): void {
  const refuse = (what: string): never => {
    throw new UserError(`${folder}: ${what}`, { exitCode: 2 });
  };
  if (config.quantization !== undefined) refuse("its files are in nf4 already");
  if (config.tower !== undefined)
    refuse("expected a language model, found one that takes images or sound, which isn't quantized yet");
  if (config.moe !== undefined)
    refuse(
      "expected a dense model, found one with experts, which aren't quantized, so that little would be won",
    );
  if (fileNames(blocks).places.size > 0)
    refuse(
      "expected a matrix for each layer, found fused ones (qkv_proj), which aren't quantized yet; quantize.base=nf4 trains with such a model",
    );
}
