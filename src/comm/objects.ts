// Collectives for small JSON values such as paths and counts, sent as bytes. They don't block the event loop.
import { fromTypedArray, int64, type Tensor, uint8, zeros } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { type CallOptions, target } from "./call-options.ts";
import { allGather, broadcast } from "./collectives.ts";

type Options = Omit<CallOptions, "async">;

function encode(call: string, value: unknown): Uint8Array {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined)
    throw new UserError(`${call}: expected a value that JSON can hold, found ${typeof value}.`);
  return new TextEncoder().encode(text);
}

function decode<T>(tensor: Tensor, length: number): T {
  return JSON.parse(new TextDecoder().decode((tensor.toTypedArray() as Uint8Array).subarray(0, length))) as T;
}

/** Rank `src`'s value, on every rank. The other ranks' values are ignored. */
export async function broadcastObject<T>(value: T, options: Options & { src: number }): Promise<T> {
  const { group } = target("broadcastObject", options);
  const bytes = group.globalRank === options.src ? encode("broadcastObject", value) : undefined;
  using length = fromTypedArray(BigInt64Array.of(BigInt(bytes?.length ?? 0)));
  await broadcast(length, { ...options, async: true });
  using content =
    bytes === undefined ? zeros([Number(length.item())], { dtype: uint8 }) : fromTypedArray(bytes);
  await broadcast(content, { ...options, async: true });
  return decode(content, content.numel());
}

/** All ranks' values, in the order of the group's ranks. */
export async function allGatherObject<T>(value: T, options: Options = {}): Promise<T[]> {
  const { group } = target("allGatherObject", options);
  const bytes = encode("allGatherObject", value);
  using localLength = fromTypedArray(BigInt64Array.of(BigInt(bytes.length)));
  const lengths = Array.from({ length: group.size }, () => zeros([1], { dtype: int64 }));
  const contents: Tensor[] = [];
  try {
    await allGather(lengths, localLength, { ...options, async: true });
    const sizes = lengths.map((tensor) => Number(tensor.item()));
    const maxSize = Math.max(...sizes);
    const padded = new Uint8Array(maxSize);
    padded.set(bytes);
    using local = fromTypedArray(padded);
    for (let i = 0; i < group.size; i++) contents.push(zeros([maxSize], { dtype: uint8 }));
    await allGather(contents, local, { ...options, async: true });
    return contents.map((tensor, i) => decode<T>(tensor, sizes[i]!));
  } finally {
    for (const tensor of [...lengths, ...contents]) tensor.dispose();
  }
}
