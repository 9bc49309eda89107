// Converts a GGUF file to a Hugging Face model folder: dequantized weights, config, tokenizer. The folder appears complete or not at
// all. The weights are those of the quantized model, not of its original.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, rmdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { writeModelWeights, type TensorToWrite } from "../safetensors/index.ts";
import { configText, makeFolder, messageOf, UserError } from "../util/index.ts";
import {
  architectureOf,
  huggingFaceName,
  modelConfig,
  permutedHeads,
  permutedRow,
  type Architecture,
} from "./architecture.ts";
import { dequantize } from "./dequantize.ts";
import { openGguf, type GgufFile, type GgufTensor } from "./reader.ts";
import { tokenizerFiles } from "./tokenizer.ts";
import { ggmlType } from "./types.ts";

export type ImportDtype = "float32" | "bfloat16";

/** Increased whenever importing the same file would give other bytes, so that cached imports are redone. */
export const importerVersion = 2;

/** Name of the file that records an import's source and the importer's version. */
export const recordFileName = "torchforge_import.json";

export interface ImportOptions {
  /** Dtype of the written weights. Default float32, which represents all quantized types exactly. */
  readonly dtype?: ImportDtype;
  /** Called after every tensor. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface ImportReport {
  readonly folder: string;
  readonly modelType: string;
  readonly tensors: number;
  readonly parameters: number;
  readonly dtype: ImportDtype;
}

/**
 * Converts a GGUF file to a new Hugging Face model folder.
 * @throws UserError if the file is damaged or of an unknown family, tokenizer or tensor type, or the folder isn't empty
 * @example
 * ```ts no-run
 * import { importGguf } from "torchforge/gguf";
 *
 * const report = importGguf("SmolLM2-135M-Instruct.Q4_1.gguf", "models/smollm2", { dtype: "bfloat16" });
 * console.log(report.modelType, report.parameters);
 * ```
 */
export function importGguf(ggufPath: string, outputDir: string, options: ImportOptions = {}): ImportReport {
  const dtype = options.dtype ?? "float32";
  const folder = resolve(outputDir);
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new UserError(
      `${folder}: expected a new or empty folder to import into, found files in it. Give another --output-dir.`,
      { exitCode: 2 },
    );
  }
  using file = openGguf(ggufPath);
  const arch = architectureOf(file);
  const config = modelConfig(file, arch);
  const embedding = file.tensors.find((tensor) => tensor.name === "token_embd.weight");
  if (embedding === undefined) throw new UserError(`${ggufPath}: expected a tensor token_embd.weight`);
  const { vocabulary, ...files } = tokenizerFiles(file, config["max_position_embeddings"] as number);
  const ids = {
    bos_token_id: vocabulary.bos ?? null,
    eos_token_id: endTokens(file, vocabulary.eos),
    pad_token_id: vocabulary.pad ?? null,
  };
  const tensors = weightsOf(file, arch, dtype, options.onProgress);

  const partial = join(dirname(folder), `.${basename(folder)}.partial-${process.pid}`);
  try {
    makeFolder(dirname(folder));
    rmSync(partial, { recursive: true, force: true });
    mkdirSync(partial);
  } catch (error) {
    throw new UserError(
      `${folder}: can't make this folder: ${messageOf(error)}. Give another --output-dir.`,
      {
        cause: error,
        exitCode: 2,
      },
    );
  }
  try {
    const write = (name: string, value: unknown): void =>
      writeFileSync(
        join(partial, name),
        name.endsWith("config.json") && name !== "tokenizer_config.json"
          ? configText(value)
          : `${JSON.stringify(value, null, 2)}\n`,
      );
    const configIds = { ...ids, eos_token_id: vocabulary.eos ?? null };
    write("config.json", { ...config, ...configIds, torch_dtype: dtype, vocab_size: embedding.shape[0] });
    write("generation_config.json", { _from_model_config: true, ...ids });
    write("tokenizer.json", files.tokenizer);
    write("tokenizer_config.json", files.tokenizerConfig);
    write("special_tokens_map.json", files.specialTokensMap);
    write(recordFileName, { importer: importerVersion, source: basename(ggufPath), dtype });
    writeModelWeights(partial, tensors);
    if (existsSync(folder)) rmdirSync(folder);
    renameSync(partial, folder);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw error;
  }
  return {
    folder,
    modelType: config["model_type"] as string,
    tensors: tensors.length,
    parameters: file.tensors.reduce((sum, tensor) => sum + tensor.elements, 0),
    dtype,
  };
}

/** Instruction models may end a turn with another token than a text; generation stops at either. */
function endTokens(file: GgufFile, eos: number | undefined): number | number[] | null {
  const all = new Set<number>(eos === undefined ? [] : [eos]);
  for (const role of ["eot", "eom"]) {
    const key = `tokenizer.ggml.${role}_token_id`;
    if (file.metadata.has(key)) all.add(file.number(key));
  }
  const list = [...all];
  return list.length > 1 ? list : (list[0] ?? null);
}

function weightsOf(
  file: GgufFile,
  arch: Architecture,
  dtype: ImportDtype,
  onProgress: ImportOptions["onProgress"],
): TensorToWrite[] {
  const total = file.tensors.length;
  let done = 0;
  return file.tensors.flatMap((tensor) => {
    const name = huggingFaceName(arch, file.path, tensor.name);
    if (name === undefined) return [];
    return [
      {
        name,
        dtype: dtype === "float32" ? ("F32" as const) : ("BF16" as const),
        shape: tensor.shape,
        *data() {
          for (const piece of decodedPieces(file, tensor, permutedHeads(arch, tensor))) {
            yield dtype === "float32"
              ? new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength)
              : toBfloat16(piece);
          }
          onProgress?.(++done, total);
        },
      },
    ];
  });
}

/** Elements decoded at a time: 4 MiB of float32. */
const pieceElements = 1 << 20;

/** A tensor's elements in Hugging Face's row order, a few rows or one attention head at a time. */
export function* decodedPieces(
  file: GgufFile,
  tensor: GgufTensor,
  heads: number | undefined,
): Generator<Float32Array<ArrayBuffer>> {
  const type = ggmlType(tensor.type);
  const rows = tensor.shape[0] ?? 1;
  const byRows = tensor.shape.length > 1 || heads !== undefined;
  const columns = byRows ? tensor.elements / rows : tensor.elements;
  const rowCount = byRows ? rows : 1;
  const headDim = heads === undefined ? undefined : rows / heads;
  if (headDim !== undefined && (!Number.isInteger(headDim) || headDim % 2 !== 0)) {
    throw new UserError(`${file.path}: ${tensor.name} has ${rows} rows, which ${heads} heads cannot share`);
  }
  const rowBytes = tensor.bytes / rowCount;
  const pieceRows = headDim ?? Math.max(1, Math.floor(pieceElements / columns));
  const bytes = new Uint8Array(pieceRows * rowBytes);
  for (let first = 0; first < rowCount; first += pieceRows) {
    const count = Math.min(pieceRows, rowCount - first);
    const raw = bytes.subarray(0, count * rowBytes);
    file.readInto(tensor, raw, first * rowBytes);
    const decoded = new Float32Array(count * columns);
    if ((count * columns) % type.blockElements !== 0) throw new Error(`${tensor.name}: rows split a block`);
    dequantize(tensor.type, raw, decoded);
    if (headDim === undefined) {
      yield decoded;
      continue;
    }
    const ordered = new Float32Array(decoded.length);
    for (let row = 0; row < count; row++) {
      const from = permutedRow(row, headDim) * columns;
      ordered.set(decoded.subarray(from, from + columns), row * columns);
    }
    yield ordered;
  }
}

/** Rounds to nearest, ties to even, like PyTorch; NaN stays NaN. */
export function toBfloat16(values: Float32Array): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    out[i] = (word & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(out.buffer);
}
