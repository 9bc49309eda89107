// NF4, the 4-bit format of QLoRA (Dettmers et al. 2023, https://arxiv.org/abs/2305.14314), number by number as bitsandbytes has
// it: blocks of 64 weights, each a code of 16 quantiles times the block's largest magnitude; those are float32 or, nested
// (double quantization), 8-bit codes with a scale for each 256 of them and one offset for the matrix. How a row is laid out,
// native/fused/quantized.h says.
import {
  cat,
  empty,
  float32,
  fromTypedArray,
  fused,
  noGrad,
  scope,
  uint8,
  zeros,
  type Tensor,
} from "../torch/index.ts";
import { eachRows, type QuantizedFormat } from "./storage-format.ts";

const block = 64;
const group = 256;

/** A matrix [R, I] as files of bitsandbytes have it. */
export interface Nf4Parts {
  /** [R, I / 2], uint8. */
  readonly codes: Tensor;
  /** [R, I / 64]: float32, or the codes of nested ones, uint8. */
  readonly magnitudes: Tensor;
  readonly nested?: NestedScales | undefined;
}

/** Of the whole matrix. */
export interface NestedScales {
  /** [groups]. */
  readonly scales: Float32Array;
  readonly offset: number;
}

export interface Nf4Format extends QuantizedFormat {
  readonly isNested: boolean;
  /** The parts of rows `own` of a matrix. */
  partsOf(...given: Parameters<QuantizedFormat["encode"]>): Nf4Parts;
  /** Rows as they are stored. @param firstRow number of the first one in the whole matrix */
  rowsOf(parts: Nf4Parts, firstRow: number): Tensor;
}

const toFour = (n: number): number => Math.ceil(n / 4) * 4;
/** The most groups that consecutive blocks are part of. */
const groupsOf = (blocks: number): number => Math.floor((blocks + group - 2) / group) + 1;

/** Bytes [rows, n] of numbers. */
const bytesOf = (numbers: Float32Array | Int32Array, rows: number): Tensor =>
  fromTypedArray(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength), [
    rows,
    numbers.byteLength / rows,
  ]);

function magnitudesOf(nested: boolean, blocks: number): number {
  return nested ? toFour(blocks) + 8 + 4 * groupsOf(blocks) : 4 * blocks;
}

export function nf4(isNested: boolean): Nf4Format {
  const rowBytes = (inputs: number): number => inputs / 2 + magnitudesOf(isNested, inputs / block);
  const format: Nf4Format = {
    name: isNested ? "nf4-nested" : "nf4",
    isNested,
    dtype: uint8,
    columnBlock: block,
    storedShape: ([outputs, inputs]) => [outputs!, rowBytes(inputs!)],
    bytes: ([outputs, inputs]) => outputs! * rowBytes(inputs!),
    partsOf(read, [outputs, inputs], own) {
      // The scales are of all of the matrix's blocks, whichever rows are asked for.
      const all = isNested ? { start: 0, length: outputs } : own;
      using s = scope();
      const codes = empty([own.length, inputs / 2], { dtype: uint8 });
      const magnitudes = empty([all.length, inputs / block], { dtype: float32 });
      noGrad(() =>
        eachRows(all, inputs, (start, count) => {
          using _ = scope();
          const [made, largest] = fused.quantizeNf4(read(start, count));
          magnitudes.narrow(0, start - all.start, count).copy_(largest);
          const [from, to] = [Math.max(start, own.start), Math.min(start + count, own.start + own.length)];
          if (from < to)
            codes.narrow(0, from - own.start, to - from).copy_(made.narrow(0, from - start, to - from));
        }),
      );
      if (!isNested) return { codes: s.keep(codes), magnitudes: s.keep(magnitudes) };
      const [nestedCodes, scales, offset] = fused.nestMagnitudes(magnitudes.view([-1]));
      const ownCodes = nestedCodes.view([outputs, inputs / block]).narrow(0, own.start, own.length);
      const nested = { scales: floatsOf(scales), offset: offset.item() };
      return { codes: s.keep(codes), magnitudes: s.keep(ownCodes.clone()), nested };
    },
    rowsOf({ codes, magnitudes, nested }, firstRow) {
      const rows = codes.size(0);
      if (rows === 0) return zeros([0, rowBytes(codes.size(1) * 2)], { dtype: uint8 });
      if (nested === undefined) return cat([codes, magnitudes.contiguous().view(uint8)], 1);
      const blocks = magnitudes.size(1);
      const starts = Array.from({ length: rows }, (_, row) => (firstRow + row) * blocks);
      const { offset, scales } = nested;
      return nestedRows(codes, magnitudes, {
        offsets: new Float32Array(rows).fill(offset),
        firsts: Int32Array.from(starts, (at) => group - (at % group)),
        scaleOf: (row, i) => scales[Math.min(Math.floor(starts[row]! / group) + i, scales.length - 1)]!,
      });
    },
    encode(read, shape, own) {
      using s = scope();
      return s.keep(format.rowsOf(format.partsOf(read, shape, own), own.start));
    },
    columnsOf(rows, inputs, { start, length }) {
      const [at, count, blocks] = [start / block, length / block, inputs / block];
      const codes = rows.narrow(1, start / 2, length / 2);
      const own = inputs / 2;
      if (!isNested) return cat([codes, rows.narrow(1, own + 4 * at, 4 * count)], 1);
      if (rows.size(0) === 0) return zeros([0, rowBytes(length)], { dtype: uint8 });
      using s = scope();
      const rest = own + toFour(blocks);
      const groups = groupsOf(blocks);
      const offsets = floatsOf(rows.narrow(1, rest, 4));
      const before = new Int32Array(floatsOf(rows.narrow(1, rest + 4, 4)).buffer);
      const scales = floatsOf(rows.narrow(1, rest + 8, 4 * groups));
      const passed = (row: number): number => at - before[row]!;
      return s.keep(
        nestedRows(codes, rows.narrow(1, own + at, count), {
          offsets,
          firsts: before.map((first) => (at < first ? first - at : group - ((at - first) % group))),
          scaleOf: (row, i) => {
            const skipped = passed(row) < 0 ? 0 : 1 + Math.floor(passed(row) / group);
            return scales[row * groups + Math.min(skipped + i, groups - 1)]!;
          },
        }),
      );
    },
  };
  return format;
}

interface RowScales {
  readonly offsets: Float32Array;
  /** Blocks of each row until the next group begins. */
  readonly firsts: Int32Array;
  readonly scaleOf: (row: number, group: number) => number;
}

function nestedRows(codes: Tensor, magnitudes: Tensor, { offsets, firsts, scaleOf }: RowScales): Tensor {
  using s = scope();
  const [rows, blocks] = magnitudes.shape as [number, number];
  const groups = groupsOf(blocks);
  const scales = Float32Array.from({ length: rows * groups }, (_, i) =>
    scaleOf(Math.floor(i / groups), i % groups),
  );
  const padding = zeros([rows, toFour(blocks) - blocks], { dtype: uint8 });
  return s.keep(
    cat(
      [codes, magnitudes, padding, bytesOf(offsets, rows), bytesOf(firsts, rows), bytesOf(scales, rows)],
      1,
    ),
  );
}

/** The floats whose bytes a tensor holds, or which it holds. */
function floatsOf(tensor: Tensor): Float32Array {
  using _ = scope();
  const whole = tensor.contiguous();
  const bytes = new Uint8Array(whole.numel() * whole.dtype.itemSize);
  whole.readBytes(bytes);
  return new Float32Array(bytes.buffer);
}
