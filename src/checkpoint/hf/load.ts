// Loads the weights of a Hugging Face folder into tensors that exist already: read by ranges, piece by piece, converted
// on the way where dtypes differ, onto whatever device the tensor is on. No second copy of the model is ever in memory.
// Parameters that are kept quantized are quantized here, some rows at a time; files of bitsandbytes are read as they are.
// All that is wrong with a file is found before the first byte is read, and told at once.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openModelWeights, type TensorInfo, type TensorSource } from "../../safetensors/index.ts";
import { encodeSlice, nf4, type QuantizedFormat } from "../../nn/index.ts";
import { empty, fromTypedArray, fused, noGrad, scope, type Dtype, type Tensor } from "../../torch/index.ts";
import { readJsonObject, quantizationOf, UserError } from "../../util/index.ts";
import {
  editedNote,
  manifestOfWeights,
  partialIn,
  partialNote,
  replacedAdvice,
  sumsIn,
} from "../step/manifest.ts";
import { nf4StateIn, quantizedParameterOf, readNf4, type Nf4State } from "./bitsandbytes.ts";
import { torchDtype } from "./dtypes.ts";
import { sourceOfParts, type FilePlaces } from "./joined.ts";

/** The part of a whole tensor that a rank holds: `length` entries of dimension `dim`, from `start` on. */
export interface WeightSlice {
  readonly dim: number;
  readonly start: number;
  readonly length: number;
  /** With `dim` 0: which columns (of dimension 1) of those rows; none: all. */
  readonly columns?: { readonly start: number; readonly length: number } | undefined;
}

export interface LoadOptions {
  /**
   * Parameters that share another one's memory, by name, as `lm_head.weight` → `model.embed_tokens.weight` where word
   * embeddings are tied: they need not be in the file, and what a file has for them is passed over.
   */
  readonly tied?: ReadonlyMap<string, string> | undefined;
  /** Parameters that the files may hold as rows of a larger matrix. */
  readonly places?: FilePlaces | undefined;
  /** How names begin that the files may have and that are passed over. */
  readonly passedOver?: readonly string[] | undefined;
  /** Where a tensor holds a part of the file's; without an entry it holds the whole. */
  readonly slices?: ReadonlyMap<string, WeightSlice> | undefined;
  /** How parameters are kept quantized, by name; others are plain. */
  readonly formats?: ReadonlyMap<string, QuantizedFormat> | undefined;
  /** Parameters of the model that other processes load, if not this one: files may hold them. */
  readonly elsewhere?: ReadonlySet<string> | undefined;
  /** Whose weights they are to be, for messages. Default: the model's. */
  readonly whose?: string | undefined;
  /** Called after every tensor with the bytes read so far. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

export interface LoadReport {
  /** Tensors that were filled. */
  readonly tensors: number;
  /** Bytes that were read. */
  readonly bytes: number;
  /** Names of the file's dtypes that were found. */
  readonly dtypes: readonly string[];
  /** Tensors of the files that were passed over on purpose: buffers that are computed, and tied parameters. */
  readonly ignored: readonly string[];
  /** What is odd: a tied parameter's own weight in the files isn't the one that it shares; files aren't what was saved. */
  readonly note: string | undefined;
}

/** Buffers that old checkpoints carry and that every model computes by itself. */
const computedBuffers = /(^|\.)(rotary_emb\.(inv_freq|cos_cached|sin_cached)|attn\.(masked_)?bias)$/;

/** Names listed in one message before "and n more". */
const listed = 8;

/** Bytes read at a time; less where they are only copied on, so that they are still in the processor's cache then. */
const pieceBytes = 16 << 20;
const plainPieceBytes = 1 << 20;

/**
 * Fills `params` (by their Hugging Face names) from the folder's `model.safetensors` or its shards. Where the folder is one that a
 * run saved, all that is read is checked.
 * @throws UserError that names every tensor that is missing, surplus, of another shape or not of a floating dtype, and
 *   every file that is broken; then nothing was loaded.
 */
export function loadWeights(
  folder: string,
  params: ReadonlyMap<string, Tensor>,
  options: LoadOptions = {},
): LoadReport {
  const config = join(folder, "config.json");
  if (existsSync(config)) quantizationOf(folder, readJsonObject(config));
  const manifest = manifestOfWeights(folder);
  using file = openModelWeights(folder, manifest && sumsIn(manifest, replacedAdvice(folder)));
  const source = sourceOfParts(file, options.places);
  const report = loadFrom(source, folder, params, options);
  const notes = [manifest && editedNote(folder, manifest), report.note].filter((note) => note !== undefined);
  return { ...report, note: notes.length === 0 ? undefined : notes.join("\n") };
}

/** The same from an open source. @param folder for messages */
export function loadFrom(
  source: TensorSource,
  folder: string,
  params: ReadonlyMap<string, Tensor>,
  options: LoadOptions = {},
): LoadReport {
  const plan = planLoad(folder, source, params, options);
  const staging = new Uint8Array(pieceBytes);
  let bytes = 0;
  for (const one of plan.tensors) {
    const { name, info, target, slice } = one;
    const isQuantized = one.format !== undefined || one.state !== undefined;
    bytes += isQuantized
      ? fillQuantized(source, one, staging)
      : fill(source, name, info, target, slice, staging);
    options.onProgress?.(bytes, plan.totalBytes);
  }
  return {
    tensors: plan.tensors.length,
    bytes,
    dtypes: [...new Set(plan.tensors.map(({ info }) => info.dtype))],
    ignored: plan.ignored,
    note: otherTiedWeight(folder, source, options, staging),
  };
}

/** The files may hold a head of their own where config.json ties it: Transformers 5 would take that one. */
function otherTiedWeight(
  folder: string,
  source: TensorSource,
  { tied, slices }: LoadOptions,
  staging: Uint8Array,
): string | undefined {
  for (const [name, shared] of tied ?? []) {
    // Of the ranks that each hold a part, the first one compares.
    const isFirst = (slices?.get(shared)?.start ?? 0) === 0;
    if (!isFirst || !source.has(name) || !source.has(shared)) continue;
    const [own, other] = [source.info(name), source.info(shared)];
    if (own.dtype === other.dtype && own.length === other.length && isSame(source, name, shared, staging))
      continue;
    return (
      `${folder}: ${name} differs from ${shared} and is not used, because config.json has tie_word_embeddings: true. ` +
      "Set it to false there if the model has a head of its own"
    );
  }
  return undefined;
}

function isSame(source: TensorSource, a: string, b: string, staging: Uint8Array): boolean {
  const { length } = source.info(a);
  const half = staging.length / 2;
  for (let done = 0; done < length; done += half) {
    const bytes = Math.min(half, length - done);
    const [left, right] = [staging.subarray(0, bytes), staging.subarray(half, half + bytes)];
    source.readInto(a, left, done);
    source.readInto(b, right, done);
    if (Buffer.compare(left, right) !== 0) return false;
  }
  return true;
}

interface PlannedTensor {
  readonly name: string;
  readonly info: TensorInfo;
  readonly target: Tensor;
  readonly slice: WeightSlice | undefined;
  /** How the target is quantized. */
  readonly format?: QuantizedFormat | undefined;
  /** How the file's is. */
  readonly state?: Nf4State | undefined;
}

interface Plan {
  readonly tensors: readonly PlannedTensor[];
  readonly ignored: readonly string[];
  readonly totalBytes: number;
}

function planLoad(
  folder: string,
  source: TensorSource,
  params: ReadonlyMap<string, Tensor>,
  options: LoadOptions,
): Plan {
  const tied = options.tied ?? new Map<string, string>();
  const tensors: PlannedTensor[] = [];
  const missing: string[] = [];
  const misfits: string[] = [];
  for (const [name, target] of params) {
    if (!source.has(name)) {
      const other = tied.get(name);
      if (other === undefined || !source.has(other)) missing.push(name);
      continue;
    }
    if (tied.has(name)) continue; // filled through the one that it shares memory with
    const info = source.info(name);
    const slice = options.slices?.get(name);
    const format = options.formats?.get(name);
    const state = nf4StateIn(source, name);
    const fault =
      format === undefined && state === undefined
        ? misfit(info, target, slice)
        : quantizedMisfit(info, target, slice, format, state);
    if (fault === undefined) tensors.push({ name, info, target, slice, format, state });
    else misfits.push(`${name}: ${fault}`);
  }
  const isPart = (name: string): boolean => {
    const whole = quantizedParameterOf(name);
    return whole !== undefined && (params.has(whole) || (options.elsewhere?.has(whole) ?? false));
  };
  const { passedOver = [] } = options;
  const known = (name: string): boolean =>
    computedBuffers.test(name) || tied.has(name) || passedOver.some((prefix) => name.startsWith(prefix));
  const extra = source.names.filter((name) => !params.has(name));
  const surplus = extra.filter(
    (name) => !known(name) && !isPart(name) && !(options.elsewhere?.has(name) ?? false),
  );
  const problems = [
    describe("missing from the files", missing),
    describe("in the files but not in the model", surplus),
    describe("do not fit", misfits),
  ].filter((problem) => problem !== undefined);
  if (problems.length > 0) {
    const partial = missing.length > 0 ? partialIn(folder) : undefined;
    const what =
      partial === undefined
        ? `its weights are not those of ${options.whose ?? "the model that config.json describes"}.`
        : `${partialNote(partial)}: it can't fill the whole model.${existsSync(join(folder, "adapter_config.json")) ? " It holds an adapter: give the model that it adapts, and this folder with --adapter (in a configuration adapter.initial_load_path)." : ""}`;
    throw new UserError(`${folder}: ${what}\n${problems.join("\n")}`);
  }
  const ignored = source.names.filter((name) => known(name) && (!params.has(name) || tied.has(name)));
  const totalBytes = tensors.reduce((sum, { info, slice }) => sum + bytesToRead(info, slice), 0);
  return { tensors, ignored, totalBytes };
}

function describe(what: string, names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const more = names.length > listed ? `\n    and ${names.length - listed} more` : "";
  const list = names.slice(0, listed).map((name) => `\n    ${name}`);
  return `  ${names.length} ${what}:${list.join("")}${more}`;
}

function misfit(info: TensorInfo, target: Tensor, slice: WeightSlice | undefined): string | undefined {
  const dtype = torchDtype(info.dtype);
  if (dtype === undefined || !dtype.isFloatingPoint) {
    return `expected a floating dtype, found ${info.dtype}`;
  }
  return otherShape(info.shape, target, slice, (shape) => shape);
}

function quantizedMisfit(
  info: TensorInfo,
  target: Tensor,
  slice: WeightSlice | undefined,
  format: QuantizedFormat | undefined,
  state: Nf4State | undefined,
): string | undefined {
  if (state === undefined) {
    const dtype = torchDtype(info.dtype);
    if (dtype === undefined || !dtype.isFloatingPoint)
      return `expected a floating dtype, found ${info.dtype}`;
    if (info.shape.length !== 2) return `expected a matrix, found [${info.shape.join(", ")}]`;
  } else if (format !== undefined) {
    const found = nf4(state.nestedOffset !== undefined).name;
    if (format.name !== found) return `expected ${format.name}, found ${found}`;
  }
  return otherShape(
    state?.shape ?? info.shape,
    target,
    slice,
    (shape) => format?.storedShape(shape) ?? shape,
  );
}

/** @param storedAs the shape in which a part of the file's is kept */
function otherShape(
  found: readonly number[],
  target: Tensor,
  slice: WeightSlice | undefined,
  storedAs: (shape: readonly number[]) => readonly number[],
): string | undefined {
  const whole = [...found];
  if (slice !== undefined) {
    if (slice.start + slice.length > (whole[slice.dim] ?? 0)) {
      return `expected at least ${slice.start + slice.length} entries in dimension ${slice.dim}, found [${found.join(", ")}]`;
    }
    whole[slice.dim] = slice.length;
    const { columns } = slice;
    if (columns !== undefined) {
      if (columns.start + columns.length > (whole[1] ?? 0)) {
        return `expected at least ${columns.start + columns.length} entries in dimension 1, found [${found.join(", ")}]`;
      }
      whole[1] = columns.length;
    }
  }
  const { shape } = target;
  const stored = storedAs(whole);
  const same = shape.length === stored.length && shape.every((size, i) => size === stored[i]);
  return same ? undefined : `expected [${shape.join(", ")}], found [${stored.join(", ")}]`;
}

/** Shorter stretches of a row than this aren't read by themselves: a disk gives no less, and a call costs as much. */
const shortestRange = 4096;

/** The bytes of a row of a slice with columns: only those of its columns where that is worth it, else undefined. */
function ownBytesOfRow(
  info: TensorInfo,
  slice: WeightSlice | undefined,
): { start: number; length: number } | undefined {
  const columns = slice?.dim === 0 ? slice.columns : undefined;
  if (columns === undefined) return undefined;
  const perColumn = info.length / (info.shape[0]! * info.shape[1]!);
  const length = columns.length * perColumn;
  return length < shortestRange ? undefined : { start: columns.start * perColumn, length };
}

/** A slice of the first dimension is one range of bytes; of any other, all rows are read and cut. */
function bytesToRead(info: TensorInfo, slice: WeightSlice | undefined): number {
  if (slice?.dim !== 0 || info.shape[0] === 0) return info.length;
  const perRow = ownBytesOfRow(info, slice)?.length ?? info.length / info.shape[0]!;
  return perRow * slice.length;
}

/** Fills a tensor that is quantized, or that the file has quantized. Returns the bytes of the file's tensor. */
function fillQuantized(
  source: TensorSource,
  { name, info, target, slice, format, state }: PlannedTensor,
  staging: Uint8Array<ArrayBuffer>,
): number {
  using _ = scope();
  const into = noGrad(() => target.detach());
  const [outputs, inputs] = (state?.shape ?? info.shape) as [number, number];
  const own = slice ?? { start: 0, length: outputs };
  if (state !== undefined) {
    const stored = nf4(state.nestedOffset !== undefined);
    const rows = stored.rowsOf(readNf4(source, name, state, own), own.start);
    const { columns } = slice ?? {};
    const kept = columns === undefined ? rows : stored.columnsOf(rows, inputs, columns);
    const width = columns?.length ?? inputs;
    into.copy_(format === undefined ? fused.dequantize(kept, stored.name, width, target.dtype) : kept);
    return info.length;
  }
  const dtype = torchDtype(info.dtype)!;
  const read = (start: number, count: number): Tensor => {
    const rows = empty([count, inputs], { dtype });
    fill(source, name, info, rows, { dim: 0, start, length: count }, staging);
    return rows;
  };
  into.copy_(encodeSlice(format!, read, [outputs, inputs], slice));
  return info.length;
}

/**
 * Fills one tensor from an open source; `loadWeights` is this for all of a model. `target` must have the shape of the
 * slice. Returns the bytes read.
 */
export function fill(
  source: Pick<TensorSource, "readInto">,
  name: string,
  info: TensorInfo,
  target: Tensor,
  slice: WeightSlice | undefined,
  staging: Uint8Array<ArrayBuffer> = new Uint8Array(pieceBytes),
): number {
  const dtype = torchDtype(info.dtype)!;
  const total = bytesToRead(info, slice);
  if (total === 0) return 0;
  using _ = scope();
  const flat = fromTypedArray(staging, undefined, { copy: false });
  const cut = slice !== undefined && (slice.dim > 0 || slice.columns !== undefined);
  if (!target.isContiguous() || cut) {
    fillRows(source, name, info, target, slice, dtype, staging);
    return total;
  }
  const first = slice === undefined ? 0 : slice.start * (info.length / info.shape[0]!);
  // The same bytes on the CPU are copied as they are, which also wakes none of libtorch's threads.
  const plain = dtype === target.dtype && target.device.type === "cpu";
  const most = plain ? Math.min(plainPieceBytes, staging.length) : staging.length;
  const values = noGrad(() => target.detach().view([-1]));
  for (let done = 0; done < total;) {
    const bytes = Math.min(most, total - done);
    source.readInto(name, staging.subarray(0, bytes), first + done);
    if (plain) target.writeBytes(staging.subarray(0, bytes), done);
    else copyPiece(flat, bytes, dtype, values, done / dtype.itemSize);
    done += bytes;
  }
  return total;
}

function copyPiece(flat: Tensor, bytes: number, dtype: Dtype, values: Tensor, at: number): void {
  using _ = scope();
  const piece = flat.narrow(0, 0, bytes).view(dtype);
  noGrad(() => values.narrow(0, at, bytes / dtype.itemSize).copy_(piece));
}

/** As `fill`, some whole rows of the first dimension at a time: for slices of other dimensions, and strided tensors. */
function fillRows(
  source: Pick<TensorSource, "readInto">,
  name: string,
  info: TensorInfo,
  target: Tensor,
  slice: WeightSlice | undefined,
  dtype: Dtype,
  staging: Uint8Array<ArrayBuffer>,
): void {
  const [rows = 1, ...all] = info.shape;
  const wholeRowBytes = info.length / rows;
  const columns = slice?.dim === 0 ? slice.columns : undefined;
  const ownBytes = ownBytesOfRow(info, slice);
  const rowBytes = ownBytes?.length ?? wholeRowBytes;
  const rest = ownBytes === undefined ? all : all.with(0, columns!.length);
  const buffer = rowBytes > staging.length ? new Uint8Array(rowBytes) : staging;
  const flat = fromTypedArray(buffer, undefined, { copy: false });
  const first = slice?.dim === 0 ? slice.start : 0;
  const count = slice?.dim === 0 ? slice.length : rows;
  const perPiece = Math.floor(buffer.length / rowBytes);
  for (let done = 0; done < count;) {
    using _ = scope();
    const some = Math.min(perPiece, count - done);
    if (ownBytes === undefined) {
      source.readInto(name, buffer.subarray(0, some * rowBytes), (first + done) * rowBytes);
    } else {
      for (let i = 0; i < some; i++) {
        const at = (first + done + i) * wholeRowBytes + ownBytes.start;
        source.readInto(name, buffer.subarray(i * rowBytes, (i + 1) * rowBytes), at);
      }
    }
    let piece = flat
      .narrow(0, 0, some * rowBytes)
      .view(dtype)
      .view([some, ...rest]);
    if (slice !== undefined && slice.dim > 0) piece = piece.narrow(slice.dim, slice.start, slice.length);
    if (columns !== undefined && ownBytes === undefined)
      piece = piece.narrow(1, columns.start, columns.length);
    const values = target.detach();
    const into = info.shape.length === 0 ? values.view([1]) : values.narrow(0, done, some);
    noGrad(() => into.copy_(piece));
    done += some;
  }
}
