// Quantizing to the blocks of GGML, the types of GGUF files (native/ggml).
import * as wire from "./addon/wire.ts";
import type { Tensor } from "./tensor/tensor.ts";

const op = new wire.Op("forge::quantize_ggml", "");

const quantizedTypes = ["Q4_0", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"] as const;

/** Types that `quantize` makes. Those that end in `_K` have 256 elements a block, the others 32. */
export type GgmlQuantizedType = (typeof quantizedTypes)[number];

export function isQuantizedType(name: string): name is GgmlQuantizedType {
  return (quantizedTypes as readonly string[]).includes(name);
}

/**
 * The blocks of `x`, equal to llama.cpp's reference to the byte.
 *
 * @param x [.., n], float32, contiguous, on the CPU; n a multiple of the type's block
 * @returns uint8 [bytes]
 * @throws TorchError for other tensors
 *
 * @example
 * ```ts
 * import { ggml, randn } from "torchforge/torch";
 *
 * const blocks = ggml.quantize(randn([4, 256]), "Q4_K"); // 4 blocks of 144 bytes
 * ```
 */
export function quantize(x: Tensor, type: GgmlQuantizedType): Tensor {
  const p = wire.tensor(wire.begin(op), x, "x");
  wire.str(p, type, "type");
  wire.finish();
  return wire.tensorAt(0);
}
