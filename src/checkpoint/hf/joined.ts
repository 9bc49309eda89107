// Matrices that files hold as one, under the names of their parts: a part is a range of the whole one's bytes, read as any tensor is.
import type { FilePlace } from "../../nn/index.ts";
import { UserError } from "../../util/index.ts";
import type { TensorInfo, TensorSource } from "../../safetensors/index.ts";

/** Where files hold parameters as rows of a larger matrix, by the parameters' names. */
export type FilePlaces = ReadonlyMap<string, FilePlace>;

/** The source as one of parts; itself where it has none of these matrices. What it holds by itself stays as it is. */
export function sourceOfParts(source: TensorSource, places: FilePlaces = new Map()): TensorSource {
  const parts = new Map([...places].filter(([name, { into }]) => !source.has(name) && source.has(into)));
  const isOwn = ownOf(places);
  if (parts.size === 0 && source.names.every(isOwn)) return source;
  const wholes = new Set([...parts.values()].map(({ into }) => into));
  const infoOf = (name: string): TensorInfo => {
    const place = parts.get(name);
    if (place === undefined) return source.info(name);
    const whole = source.info(place.into);
    const [rows = 0, ...rest] = whole.shape;
    if (rows !== place.of)
      throw new UserError(
        `${source.fileOf(place.into)}: ${place.into}: expected ${place.of} entries in dimension 0, those of ${[...parts].flatMap(([part, { into }]) => (into === place.into ? [part] : [])).join(", ")}; found [${whole.shape.join(", ")}]`,
      );
    return { ...whole, shape: [place.rows, ...rest], length: (whole.length / rows) * place.rows };
  };
  return {
    names: [...source.names.filter((name) => !wholes.has(name) && isOwn(name)), ...parts.keys()],
    has: (name) => parts.has(name) || (source.has(name) && !wholes.has(name)),
    info: infoOf,
    fileOf: (name) => source.fileOf(parts.get(name)?.into ?? name),
    readInto(name, into, byteOffset = 0) {
      const place = parts.get(name);
      if (place === undefined) return source.readInto(name, into, byteOffset);
      const { length } = infoOf(name);
      if (byteOffset + into.length > length)
        throw new RangeError(`${name}: ${into.length} bytes from ${byteOffset} on, of ${length}`);
      return source.readInto(place.into, into, (length / place.rows) * place.start + byteOffset);
    },
    read(name) {
      const bytes = new Uint8Array(infoOf(name).length);
      this.readInto(name, bytes);
      return bytes;
    },
    close: () => source.close(),
    [Symbol.dispose]: () => source[Symbol.dispose](),
  };
}

/** Whether a name of a file is the model's: of a language model that is a part of a larger one the rest isn't. */
function ownOf(places: FilePlaces): (name: string) => boolean {
  const norm = places.get("model.norm.weight")?.into;
  if (norm === undefined) return () => true;
  const prefix = norm.slice(0, -"norm.weight".length);
  const wholes = new Set([...places.values()].map(({ into }) => into));
  return (name) => name.startsWith(prefix) || wholes.has(name);
}

/** Names and shapes of what files hold, where parameters have these, in their order. */
export function shapesInFiles(
  shapes: Iterable<readonly [string, readonly number[]]>,
  places: FilePlaces = new Map(),
): Map<string, readonly number[]> {
  return new Map(
    [...shapes].map(([name, shape]) => {
      const place = places.get(name);
      return place === undefined ? [name, shape] : [place.into, shape.with(0, place.of)];
    }),
  );
}
