// The tensors of a GGUF file, from the weights of a model folder: named, permuted, quantized, a few rows at a time.
import { ggufNameOf, permutedHeads, type GgmlTypeName, type GgufTensorToWrite } from "../../gguf/index.ts";
import type { Family, ModelConfig } from "../../models/index.ts";
import type { TensorSource } from "../../safetensors/index.ts";
import {
  bfloat16,
  float16,
  float32,
  fromTypedArray,
  ggml,
  inferenceMode,
  scope,
  uint8,
  type Dtype,
  type Tensor,
} from "../../torch/index.ts";
import { torchDtype } from "../../checkpoint/index.ts";
import { UserError } from "../../util/index.ts";
import { ropeFactors } from "./metadata.ts";
import { tensorType, type GgufFileType } from "./types.ts";

type Names = NonNullable<Family["gguf"]>;

/** Elements that are converted at a time: 64 MiB of float32. */
const pieceElements = 16 << 20;

const plain: Partial<Record<GgmlTypeName, Dtype>> = { F32: float32, F16: float16, BF16: bfloat16 };

/**
 * All tensors of the file, in the order of the layers.
 * @throws UserError for a weight that GGUF has no place for
 */
export function ggufTensors(
  source: TensorSource,
  config: ModelConfig,
  names: Names,
  fileType: GgufFileType,
  folder: string,
): GgufTensorToWrite[] {
  const isTied = config.tieEmbeddings;
  const mixture = {
    numLayers: config.numLayers,
    numExperts: config.moe?.numExperts ?? 1,
    isGrouped: config.numHeads > config.numKvHeads,
    isTied,
  };
  const tensors: GgufTensorToWrite[] = [];
  const factors = ropeFactors(config);
  if (factors !== undefined)
    tensors.push({
      name: "rope_freqs.weight",
      shape: [factors.length],
      type: "F32",
      data: () => [new Uint8Array(factors.buffer)],
    });
  for (const weight of source.names) {
    if (isTied && weight === "lm_head.weight") continue;
    const name = ggufNameOf(names, weight);
    if (name === undefined)
      throw new UserError(
        `${folder}: ${weight} has no place in a GGUF file of the architecture ${names.architecture}`,
      );
    const { shape } = source.info(weight);
    const type = tensorType(fileType, name, shape, mixture);
    const heads = permutedHeads({ names, ...config }, { name });
    tensors.push({ name, shape, type, data: () => converted(source, weight, type, heads) });
  }
  return tensors;
}

/** The bytes of a weight in the type of the file. */
function* converted(
  source: TensorSource,
  weight: string,
  type: GgmlTypeName,
  heads: number | undefined,
): Generator<Uint8Array> {
  const info = source.info(weight);
  const dtype = torchDtype(info.dtype);
  if (dtype === undefined || !dtype.isFloatingPoint)
    throw new UserError(
      `${source.fileOf(weight)}: ${weight}: expected a floating dtype, found ${info.dtype}`,
    );
  const isVector = info.shape.length === 1 && heads === undefined;
  const [rows = 1] = isVector ? [1] : info.shape;
  const columns = info.length / dtype.itemSize / rows;
  // Whole heads, where rows change places within them.
  const unit = heads === undefined ? 1 : rows / heads;
  const perPiece = unit * Math.max(1, Math.floor(pieceElements / columns / unit));
  const rowBytes = columns * dtype.itemSize;
  const staging = new Uint8Array(Math.min(perPiece, rows) * rowBytes);
  for (let first = 0; first < rows; first += perPiece) {
    using _ = scope();
    using __ = inferenceMode();
    const count = Math.min(perPiece, rows - first);
    const raw = staging.subarray(0, count * rowBytes);
    source.readInto(weight, raw, first * rowBytes);
    let values = fromTypedArray(raw, undefined, { copy: false })
      .view(dtype)
      .to(float32)
      .view([count, columns]);
    if (heads !== undefined)
      values = values
        .view([count / unit, 2, unit / 2, columns])
        .transpose(1, 2)
        .reshape([count, columns]);
    yield bytesOf(values, type, `${source.fileOf(weight)}: ${weight}`);
  }
}

function bytesOf(values: Tensor, type: GgmlTypeName, where: string): Uint8Array {
  const dtype = plain[type];
  if (dtype === undefined) {
    if (!ggml.isQuantizedType(type)) throw new Error(`nothing is written in ${type}`);
    return ggml.quantize(values.contiguous(), type).toTypedArray({ copy: true }) as Uint8Array;
  }
  if (dtype === float16 && values.abs().max().item() > 65504)
    throw new UserError(`${where}: has values beyond float16's largest, 65,504. Take --type BF16 or F32`);
  const bytes = values.to(dtype).contiguous().view([-1]);
  return new Uint8Array(bytes.view(uint8).toTypedArray({ copy: true }).buffer as ArrayBuffer);
}
