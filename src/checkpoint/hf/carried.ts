// A checkpoint of which the language model alone is trained has more: a vision tower, say. An export has the rest byte for byte, in a
// file of its own beside the trained weights. Knows nothing of tensors, so that a thread without libtorch can use it.
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import {
  indexFileName,
  openModelWeights,
  singleFileName,
  writeIndex,
  writeSafetensors,
  type TensorSource,
} from "../../safetensors/index.ts";

/** What of a source's names the language model's are: those that begin so. */
export type OwnPrefixes = readonly string[];

/** Names of a source that aren't the language model's. */
export function carriedNames(source: TensorSource, own: OwnPrefixes): string[] {
  return source.names.filter((name) => !own.some((prefix) => name.startsWith(prefix)));
}

/** Bytes copied at a time. */
const pieceBytes = 16 << 20;

function* bytesOf(source: TensorSource, name: string): Generator<Uint8Array> {
  const { length } = source.info(name);
  for (let at = 0; at < length; at += pieceBytes) {
    const piece = new Uint8Array(Math.min(pieceBytes, length - at));
    source.readInto(name, piece, at);
    yield piece;
  }
}

/**
 * Writes what `sourceFolder` has beside the language model into `folder`, which holds that already, and an index of all.
 * @returns files that have another name now, by that
 */
export function carryOver(folder: string, sourceFolder: string, own: OwnPrefixes): Map<string, string> {
  using source = openModelWeights(sourceFolder);
  const names = carriedNames(source, own);
  if (names.length === 0) return new Map();
  using trained = openModelWeights(folder);
  const files = Map.groupBy(trained.names, (name) => trained.fileOf(name));
  const count = String(files.size + 1).padStart(5, "0");
  const nameOf = (i: number): string => `model-${String(i + 1).padStart(5, "0")}-of-${count}.safetensors`;
  const describe = (of: TensorSource, name: string) => {
    const { dtype, shape } = of.info(name);
    return { name, dtype, shape: [...shape] };
  };
  const carried = nameOf(files.size);
  const tensors = names.map((name) => ({ ...describe(source, name), data: () => bytesOf(source, name) }));
  writeSafetensors(join(folder, carried), tensors);
  const index = [...files.values()].map((some, i) => ({
    file: nameOf(i),
    tensors: some.map((name) => describe(trained, name)),
  }));
  const renamed = new Map<string, string>();
  for (const [i, path] of [...files.keys()].entries()) {
    renameSync(path, join(folder, nameOf(i)));
    renamed.set(nameOf(i), path.slice(folder.length).replace(/^[/\\]/, ""));
  }
  writeIndex(folder, [...index, { file: carried, tensors }]);
  return renamed;
}

/** A sentence for the user; undefined where there is nothing else, or no file yet. */
export function carriedNote(folder: string, own: OwnPrefixes): string | undefined {
  if (![singleFileName, indexFileName].some((name) => existsSync(join(folder, name)))) return undefined;
  using source = openModelWeights(folder);
  const names = carriedNames(source, own);
  if (names.length === 0) return undefined;
  const parts = new Set(names.map((name) => name.replace(/^model\./, "").split(".")[0]!));
  return `${folder}: its language model alone is trained; ${names.length} other tensors (${[...parts].join(", ")}) stay as they are, and exports have them byte for byte`;
}
