// A model folder with some matrices in nf4, as Transformers with bitsandbytes writes and reads it. All else is copied as it is.
import type { Nf4Format } from "../../nn/index.ts";
import {
  openModelWeights,
  writeModelWeights,
  type TensorSource,
  type TensorToWrite,
} from "../../safetensors/index.ts";
import { empty, scope, type Tensor } from "../../torch/index.ts";
import { makeFolder } from "../../util/index.ts";
import { nf4Tensors } from "./bitsandbytes.ts";
import { copyCompanions } from "./companions.ts";
import { torchDtype } from "./dtypes.ts";
import { fill } from "./load.ts";

export interface QuantizedSizes {
  /** Bytes of all weights. */
  readonly before: number;
  readonly after: number;
}

/**
 * Writes the model in `source` with the matrices `names` quantized.
 * @throws UserError when the disk is full
 */
export function saveQuantized(
  folder: string,
  source: string,
  { names, format }: { readonly names: ReadonlySet<string>; readonly format: Nf4Format },
): QuantizedSizes {
  using _ = scope();
  using weights = openModelWeights(source);
  const tensors = weights.names.flatMap((name): TensorToWrite[] =>
    names.has(name) ? quantized(weights, name, format) : [asItIs(weights, name)],
  );
  makeFolder(folder);
  let after = 0;
  const counted = tensors.map((one) => ({
    ...one,
    *data() {
      const data = one.data();
      for (const piece of data instanceof Uint8Array ? [data] : data) {
        after += piece.length;
        yield piece;
      }
    },
  }));
  writeModelWeights(folder, counted);
  copyCompanions(
    folder,
    { sourceFolder: source, config: { quantization_config: configOf(weights, [...names][0]!, format) } },
    undefined,
  );
  return { before: weights.names.reduce((sum, name) => sum + weights.info(name).length, 0), after };
}

const pieceBytes = 16 << 20;

function asItIs(source: TensorSource, name: string): TensorToWrite {
  const { dtype, shape, length } = source.info(name);
  return {
    name,
    dtype,
    shape,
    *data() {
      for (let at = 0; at < length; at += pieceBytes) {
        const piece = new Uint8Array(Math.min(pieceBytes, length - at));
        source.readInto(name, piece, at);
        yield piece;
      }
    },
  };
}

function quantized(source: TensorSource, name: string, format: Nf4Format): TensorToWrite[] {
  const info = source.info(name);
  const dtype = torchDtype(info.dtype)!;
  const [outputs, inputs] = info.shape as [number, number];
  const read = (start: number, count: number): Tensor => {
    const rows = empty([count, inputs], { dtype });
    fill(source, name, info, rows, { dim: 0, start, length: count });
    return rows;
  };
  const parts = format.partsOf(read, [outputs, inputs], { start: 0, length: outputs });
  return nf4Tensors(name, parts, [outputs, inputs], dtype);
}

/** What config.json says of it, in Transformers' words. */
function configOf(source: TensorSource, name: string, { isNested }: Nf4Format): Record<string, unknown> {
  const dtype = torchDtype(source.info(name).dtype)!.name;
  return {
    _load_in_4bit: true,
    _load_in_8bit: false,
    bnb_4bit_compute_dtype: dtype === "float64" ? "float32" : dtype,
    bnb_4bit_quant_storage: "uint8",
    bnb_4bit_quant_type: "nf4",
    bnb_4bit_use_double_quant: isNested,
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
    llm_int8_skip_modules: null,
    llm_int8_threshold: 6,
    load_in_4bit: true,
    load_in_8bit: false,
    quant_method: "bitsandbytes",
  };
}
