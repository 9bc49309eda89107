// Dequantizes blocks of GGML's types to float32. Every product and sum is rounded to float32 in the order of the gguf package's
// `dequantize`, so that results are equal bit for bit. (A float64 sum, product or difference of two float32 numbers, rounded to
// float32, is the float32 result, so `Math.fround` around each step is exact.)
import { half } from "./half.ts";
import { k2, k3, k4, k5, k6, type BlockDecoder } from "./k-quants.ts";
import { ggmlType, type GgmlTypeName } from "./types.ts";

const wordBuffer = new DataView(new ArrayBuffer(4));

const decoders: Record<GgmlTypeName, BlockDecoder> = {
  F32(bytes, offset, out, to) {
    for (let i = 0; i < 4; i++) wordBuffer.setUint8(i, bytes[offset + i]!);
    out[to] = wordBuffer.getFloat32(0, true);
  },
  F16(bytes, offset, out, to) {
    out[to] = half(bytes, offset);
  },
  BF16(bytes, offset, out, to) {
    wordBuffer.setUint16(0, 0, true);
    wordBuffer.setUint16(2, bytes[offset]! | (bytes[offset + 1]! << 8), true);
    out[to] = wordBuffer.getFloat32(0, true);
  },
  Q4_0(bytes, offset, out, to) {
    const d = half(bytes, offset);
    for (let i = 0; i < 16; i++) {
      const q = bytes[offset + 2 + i]!;
      out[to + i] = d * ((q & 15) - 8);
      out[to + 16 + i] = d * ((q >> 4) - 8);
    }
  },
  Q4_1(bytes, offset, out, to) {
    const d = half(bytes, offset);
    const m = half(bytes, offset + 2);
    for (let i = 0; i < 16; i++) {
      const q = bytes[offset + 4 + i]!;
      out[to + i] = Math.fround(d * (q & 15)) + m;
      out[to + 16 + i] = Math.fround(d * (q >> 4)) + m;
    }
  },
  Q5_0(bytes, offset, out, to) {
    const d = half(bytes, offset);
    for (let i = 0; i < 16; i++) {
      const q = bytes[offset + 6 + i]!;
      const low = (q & 15) | fifthBit(bytes, offset + 2, i);
      const high = (q >> 4) | fifthBit(bytes, offset + 2, i + 16);
      out[to + i] = d * (low - 16);
      out[to + 16 + i] = d * (high - 16);
    }
  },
  Q5_1(bytes, offset, out, to) {
    const d = half(bytes, offset);
    const m = half(bytes, offset + 2);
    for (let i = 0; i < 16; i++) {
      const q = bytes[offset + 8 + i]!;
      const low = (q & 15) | fifthBit(bytes, offset + 4, i);
      const high = (q >> 4) | fifthBit(bytes, offset + 4, i + 16);
      out[to + i] = Math.fround(d * low) + m;
      out[to + 16 + i] = Math.fround(d * high) + m;
    }
  },
  Q8_0(bytes, offset, out, to) {
    const d = half(bytes, offset);
    for (let i = 0; i < 32; i++) out[to + i] = ((bytes[offset + 2 + i]! << 24) >> 24) * d;
  },
  Q2_K: k2,
  Q3_K: k3,
  Q4_K: k4,
  Q5_K: k5,
  Q6_K: k6,
};

/** Bit `i` of the 32 bits at byte `offset`, shifted to the position of a fifth bit. */
function fifthBit(bytes: Uint8Array, offset: number, i: number): number {
  return ((bytes[offset + (i >> 3)]! >> (i & 7)) & 1) << 4;
}

/**
 * Decodes whole blocks. `bytes` must contain the blocks of `out.length` elements.
 * @throws RangeError if the two lengths don't match
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
