// Turns blocks of GGML's quantized types into float32. Every product and sum is rounded to float32 in the order of the
// gguf package's own `dequantize`, so that results are equal to it bit for bit. (A float64 sum, product or difference
// of two float32 numbers, rounded to float32, is the float32 result; so `Math.fround` around each step is exact.)
import { half } from "./half.ts";
import { k2, k3, k4, k5, k6, type BlockDecoder } from "./k-quants.ts";
import { ggmlType, type GgmlTypeName } from "./types.ts";

const wordBuffer = new DataView(new ArrayBuffer(4));

const decoders: Record<GgmlTypeName, BlockDecoder> = {
  F32(bytes, at, out, to) {
    for (let i = 0; i < 4; i++) wordBuffer.setUint8(i, bytes[at + i]!);
    out[to] = wordBuffer.getFloat32(0, true);
  },
  F16(bytes, at, out, to) {
    out[to] = half(bytes, at);
  },
  BF16(bytes, at, out, to) {
    wordBuffer.setUint16(0, 0, true);
    wordBuffer.setUint16(2, bytes[at]! | (bytes[at + 1]! << 8), true);
    out[to] = wordBuffer.getFloat32(0, true);
  },
  Q4_0(bytes, at, out, to) {
    const d = half(bytes, at);
    for (let i = 0; i < 16; i++) {
      const q = bytes[at + 2 + i]!;
      out[to + i] = d * ((q & 15) - 8);
      out[to + 16 + i] = d * ((q >> 4) - 8);
    }
  },
  Q4_1(bytes, at, out, to) {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const q = bytes[at + 4 + i]!;
      out[to + i] = Math.fround(d * (q & 15)) + m;
      out[to + 16 + i] = Math.fround(d * (q >> 4)) + m;
    }
  },
  Q5_0(bytes, at, out, to) {
    const d = half(bytes, at);
    for (let i = 0; i < 16; i++) {
      const q = bytes[at + 6 + i]!;
      const low = (q & 15) | fifthBit(bytes, at + 2, i);
      const high = (q >> 4) | fifthBit(bytes, at + 2, i + 16);
      out[to + i] = d * (low - 16);
      out[to + 16 + i] = d * (high - 16);
    }
  },
  Q5_1(bytes, at, out, to) {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const q = bytes[at + 8 + i]!;
      const low = (q & 15) | fifthBit(bytes, at + 4, i);
      const high = (q >> 4) | fifthBit(bytes, at + 4, i + 16);
      out[to + i] = Math.fround(d * low) + m;
      out[to + 16 + i] = Math.fround(d * high) + m;
    }
  },
  Q8_0(bytes, at, out, to) {
    const d = half(bytes, at);
    for (let i = 0; i < 32; i++) out[to + i] = ((bytes[at + 2 + i]! << 24) >> 24) * d;
  },
  Q2_K: k2,
  Q3_K: k3,
  Q4_K: k4,
  Q5_K: k5,
  Q6_K: k6,
};

/** Bit `i` of the 32 at byte `at`, moved to the place of a fifth bit. */
function fifthBit(bytes: Uint8Array, at: number, i: number): number {
  return ((bytes[at + (i >> 3)]! >> (i & 7)) & 1) << 4;
}

/**
 * Decodes whole blocks. `bytes` must hold `out.length` elements' worth of blocks.
 * @throws RangeError when the two lengths do not belong together.
 */
export function dequantize(name: GgmlTypeName, bytes: Uint8Array, out: Float32Array): void {
  const type = ggmlType(name);
  const blocks = out.length / type.blockElements;
  if (!Number.isInteger(blocks) || bytes.length !== blocks * type.blockBytes) {
    throw new RangeError(`${bytes.length} bytes of ${name} are not ${out.length} elements`);
  }
  if (name === "F32") {
    new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes); // a copy keeps NaN payloads; all hosts are little-endian
    return;
  }
  const decode = decoders[name];
  for (let block = 0; block < blocks; block++) {
    decode(bytes, block * type.blockBytes, out, block * type.blockElements);
  }
}
