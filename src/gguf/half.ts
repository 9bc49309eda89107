// Decodes float16 numbers with a table of all 65,536 values.

const halves = makeHalves();

/** The float32 value of every float16, by its bits. */
function makeHalves(): Float32Array {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 0x1f;
    const mantissa = bits & 0x3ff;
    let value: number;
    if (exponent === 0) value = mantissa * 2 ** -24;
    else if (exponent === 31) value = mantissa === 0 ? Infinity : NaN;
    else value = (1024 + mantissa) * 2 ** (exponent - 25);
    table[bits] = sign * value;
  }
  return table;
}

/** The float16 at byte `offset`. */
export function half(bytes: Uint8Array, offset: number): number {
  return halves[bytes[offset]! | (bytes[offset + 1]! << 8)]!;
}
