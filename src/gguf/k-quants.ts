// The K types: super-blocks of 256 elements with quantized scales. Layouts are those of ggml-quants.c, rounding is that of the gguf
// package's `dequantize` (see dequantize.ts).
import { half } from "./half.ts";

/** Decodes the block at byte `offset` of `bytes` into `out`, starting at element `to`. */
export type BlockDecoder = (bytes: Uint8Array, offset: number, out: Float32Array, to: number) => void;

const round = Math.fround;

/** 16 scales and minimums of 4 bits; 2-bit values; d, dmin at the end. 84 bytes. */
export const k2: BlockDecoder = (bytes, offset, out, to) => {
  const d = half(bytes, offset + 80);
  const dmin = half(bytes, offset + 82);
  for (let i = 0; i < 256; i++) {
    const scale = bytes[offset + (i >> 4)]!;
    const q = (bytes[offset + 16 + (i >> 7) * 32 + (i & 31)]! >> (((i >> 5) & 3) * 2)) & 3;
    out[to + i] = round(round(d * (scale & 15)) * q) - round(dmin * (scale >> 4));
  }
};

/** High bits 32, low 2-bit values 64, 16 scales of 6 bits in 12, d. 110 bytes. */
export const k3: BlockDecoder = (bytes, offset, out, to) => {
  const d = half(bytes, offset + 108);
  const scales = offset + 96;
  for (let group = 0; group < 16; group++) {
    const low = (bytes[scales + (group & 7)]! >> (group >> 3 === 0 ? 0 : 4)) & 15;
    const high = (bytes[scales + 8 + (group & 3)]! >> ((group >> 2) * 2)) & 3;
    const scale = round(d * ((low | (high << 4)) - 32));
    for (let i = group * 16; i < group * 16 + 16; i++) {
      const q = (bytes[offset + 32 + (i >> 7) * 32 + (i & 31)]! >> (((i >> 5) & 3) * 2)) & 3;
      const bit = (bytes[offset + (i & 31)]! >> (i >> 5)) & 1;
      out[to + i] = scale * (bit === 1 ? q : q - 4);
    }
  }
};

/** The scale of 32-element group 0…7, from the 12 packed bytes at `offset`. */
function packedScale(bytes: Uint8Array, offset: number, group: number): number {
  return group < 4
    ? bytes[offset + group]! & 63
    : (bytes[offset + group + 4]! & 15) | ((bytes[offset + group - 4]! >> 2) & 0x30);
}

/** The minimum of a group, from the same bytes. */
function packedMin(bytes: Uint8Array, offset: number, group: number): number {
  return group < 4
    ? bytes[offset + 4 + group]! & 63
    : (bytes[offset + group + 4]! >> 4) | ((bytes[offset + group]! >> 2) & 0x30);
}

/** d, dmin, 12 bytes of scales and minimums, 4-bit values. 144 bytes. */
export const k4: BlockDecoder = (bytes, offset, out, to) => {
  const d = half(bytes, offset);
  const dmin = half(bytes, offset + 2);
  for (let group = 0; group < 8; group++) {
    const scale = round(d * packedScale(bytes, offset + 4, group));
    const min = round(dmin * packedMin(bytes, offset + 4, group));
    const values = offset + 16 + (group >> 1) * 32;
    const shift = (group & 1) * 4;
    for (let i = 0; i < 32; i++) {
      out[to + group * 32 + i] = round(scale * ((bytes[values + i]! >> shift) & 15)) - min;
    }
  }
};

/** Like k4, with 32 bytes of fifth bits before the values. 176 bytes. */
export const k5: BlockDecoder = (bytes, offset, out, to) => {
  const d = half(bytes, offset);
  const dmin = half(bytes, offset + 2);
  for (let group = 0; group < 8; group++) {
    const scale = round(d * packedScale(bytes, offset + 4, group));
    const min = round(dmin * packedMin(bytes, offset + 4, group));
    const values = offset + 48 + (group >> 1) * 32;
    const shift = (group & 1) * 4;
    for (let i = 0; i < 32; i++) {
      const fifth = (bytes[offset + 16 + i]! >> group) & 1;
      out[to + group * 32 + i] = round(scale * (((bytes[values + i]! >> shift) & 15) | (fifth << 4))) - min;
    }
  }
};

/** Low 4 bits 128, high 2 bits 64, 16 signed scales, d. 210 bytes. */
export const k6: BlockDecoder = (bytes, offset, out, to) => {
  const d = half(bytes, offset + 208);
  for (let group = 0; group < 16; group++) {
    const scale = round(d * ((bytes[offset + 192 + group]! << 24) >> 24));
    for (let i = group * 16; i < group * 16 + 16; i++) {
      const within = i & 127; // two halves of 128 share one layout
      const low = (bytes[offset + (i >> 7) * 64 + (within & 63)]! >> ((within >> 6) * 4)) & 15;
      const high = (bytes[offset + 128 + (i >> 7) * 32 + (i & 31)]! >> (((i >> 5) & 3) * 2)) & 3;
      out[to + i] = scale * ((low | (high << 4)) - 32);
    }
  }
};
