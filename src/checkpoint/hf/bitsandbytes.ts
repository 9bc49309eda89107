// A quantized matrix as bitsandbytes' files have it: codes under the parameter's own name, and beside it magnitudes, the tables of
// numbers, and a JSON text with shape, type and offset, as bytes.
import type { TensorSource, TensorToWrite } from "../../safetensors/index.ts";
import type { Nf4Parts } from "../../nn/index.ts";
import {
  bfloat16,
  float16,
  float32,
  fromTypedArray,
  fused,
  scope,
  type Dtype,
  type Tensor,
} from "../../torch/index.ts";
import { messageOf, UserError } from "../../util/index.ts";

const block = 64;
const group = 256;
const stateSuffix = ".quant_state.bitsandbytes__";

/** What a file says of a matrix in nf4. */
export interface Nf4State {
  readonly shape: readonly [outputs: number, inputs: number];
  /** Undefined: magnitudes are float32. */
  readonly nestedOffset: number | undefined;
}

/** Names of tensors that belong to a quantized parameter. */
export const isPartOf = (name: string, parameter: string): boolean =>
  name.startsWith(`${parameter}.`) &&
  /^(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w+)$/.test(
    name.slice(parameter.length + 1),
  );

/** The parameter of whose quantization a tensor is a part; undefined: of none. */
export function quantizedParameterOf(name: string): string | undefined {
  return /^(.*\.weight)\.(?:absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w+)$/.exec(
    name,
  )?.[1];
}

/** Undefined where a parameter isn't quantized. @throws UserError for another format than nf4 with blocks of 64 */
export function nf4StateIn(source: TensorSource, name: string): Nf4State | undefined {
  const key = ["nf4", "fp4"].map((type) => `${name}${stateSuffix}${type}`).find((one) => source.has(one));
  if (key === undefined) return undefined;
  const fail = (what: string, cause?: unknown): UserError =>
    new UserError(`${source.fileOf(key)}: ${key}: ${what}`, { exitCode: 2, cause });
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(source.read(key)));
  } catch (error) {
    throw fail(`expected JSON (${messageOf(error)})`, error);
  }
  if (typeof parsed !== "object" || parsed === null) throw fail("expected a JSON object");
  const state = parsed as Readonly<Record<string, unknown>>;
  const { quant_type: type, blocksize, shape, nested_blocksize: nested, nested_offset: offset } = state;
  if (type !== "nf4" || blocksize !== block)
    throw fail(
      `expected nf4 in blocks of ${block}, found ${JSON.stringify(type)} in blocks of ${JSON.stringify(blocksize)}`,
    );
  if (!Array.isArray(shape) || shape.length !== 2 || shape.some((size) => !Number.isSafeInteger(size)))
    throw fail(`expected a shape of two sizes, found ${JSON.stringify(shape)}`);
  if (nested !== undefined && (nested !== group || typeof offset !== "number"))
    throw fail(
      `expected nested blocks of ${group} with an offset, found ${JSON.stringify({ nested, offset })}`,
    );
  checkMap(source, `${name}.quant_map`, "nf4");
  if (nested !== undefined) checkMap(source, `${name}.nested_quant_map`, "nested");
  const [outputs, inputs] = shape as [number, number];
  const expected: [part: string, bytes: number][] = [
    ["", (outputs * inputs) / 2],
    [".absmax", ((outputs * inputs) / block) * (nested === undefined ? 4 : 1)],
  ];
  if (nested !== undefined)
    expected.push([".nested_absmax", Math.ceil((outputs * inputs) / block / group) * 4]);
  for (const [part, bytes] of expected) {
    const found = source.has(name + part) ? source.info(name + part).length : undefined;
    if (found !== bytes) throw fail(`expected ${bytes} bytes of ${name}${part}, found ${found ?? "none"}`);
  }
  return { shape: [outputs, inputs], nestedOffset: offset as number | undefined };
}

/** The tables are those of the format, but for the last bit that other processors may round otherwise. */
function checkMap(source: TensorSource, name: string, map: "nf4" | "nested"): void {
  using _ = scope();
  const expected = fused.quantizationMap(map);
  if (source.has(name) && source.info(name).length === expected.numel() * 4) {
    const found = fromTypedArray(source.read(name)).view(float32);
    if (found.sub(expected).abs().max().item() <= 1e-6) return;
  }
  throw new UserError(
    `${source.fileOf(name)}: ${name}: expected the ${expected.numel()} numbers of ${map}, found others.`,
    {
      exitCode: 2,
    },
  );
}

/** Rows of a matrix, in the current scope. */
export function readNf4(
  source: TensorSource,
  name: string,
  { shape: [, inputs], nestedOffset }: Nf4State,
  { start, length }: { readonly start: number; readonly length: number },
): Nf4Parts {
  const range = (part: string, rowBytes: number): Uint8Array<ArrayBuffer> => {
    const bytes = new Uint8Array(length * rowBytes);
    if (bytes.length > 0) source.readInto(name + part, bytes, start * rowBytes);
    return bytes;
  };
  const blocks = inputs / block;
  const codes = fromTypedArray(range("", inputs / 2), [length, inputs / 2]);
  if (nestedOffset === undefined)
    return {
      codes,
      magnitudes: fromTypedArray(range(".absmax", 4 * blocks), [length, 4 * blocks]).view(float32),
    };
  const scales = new Float32Array(source.read(`${name}.nested_absmax`).buffer);
  const magnitudes = fromTypedArray(range(".absmax", blocks), [length, blocks]);
  return { codes, magnitudes, nested: { scales, offset: nestedOffset } };
}

/** How bitsandbytes names the type that a matrix had. */
const dtypeNames = new Map<Dtype, string>([
  [float32, "float32"],
  [bfloat16, "bfloat16"],
  [float16, "float16"],
]);

/** A matrix as tensors of a file. @param dtype that its numbers are to be read as */
export function nf4Tensors(
  name: string,
  parts: Nf4Parts,
  shape: readonly [number, number],
  dtype: Dtype,
): TensorToWrite[] {
  const { codes, magnitudes, nested } = parts;
  const [outputs, inputs] = shape;
  const state: Record<string, unknown> = {
    quant_type: "nf4",
    blocksize: block,
    dtype: dtypeNames.get(dtype)!,
    shape,
    ...(nested !== undefined && {
      nested_blocksize: group,
      nested_dtype: "float32",
      nested_offset: nested.offset,
    }),
  };
  const count = (outputs * inputs) / block;
  const text = new TextEncoder().encode(JSON.stringify(state));
  const tensors: TensorToWrite[] = [
    { name, dtype: "U8", shape: [(outputs * inputs) / 2, 1], data: () => bytesOf(codes) },
    {
      name: `${name}.absmax`,
      dtype: nested === undefined ? "F32" : "U8",
      shape: [count],
      data: () => bytesOf(magnitudes),
    },
    {
      name: `${name}.quant_map`,
      dtype: "F32",
      shape: [16],
      data: () => bytesOf(fused.quantizationMap("nf4")),
    },
    { name: `${name}${stateSuffix}nf4`, dtype: "U8", shape: [text.length], data: () => text },
  ];
  if (nested === undefined) return tensors;
  return [
    ...tensors,
    {
      name: `${name}.nested_absmax`,
      dtype: "F32",
      shape: [nested.scales.length],
      data: () => new Uint8Array(nested.scales.buffer),
    },
    {
      name: `${name}.nested_quant_map`,
      dtype: "F32",
      shape: [256],
      data: () => bytesOf(fused.quantizationMap("nested")),
    },
  ];
}

function bytesOf(tensor: Tensor): Uint8Array {
  using _ = scope();
  const whole = tensor.contiguous();
  const bytes = new Uint8Array(whole.numel() * whole.dtype.itemSize);
  return whole.readBytes(bytes);
}
