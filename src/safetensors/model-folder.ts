// The weights of a Hugging Face model folder as one source: `model.safetensors`, the shards listed in
// `model.safetensors.index.json`, or the pieces that the ranks of a run saved. All shards are opened first, so that a missing one is
// reported before anything is read.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { isAsSummed, messageOf, otherModelFormat, UserError, type FolderSums } from "../util/index.ts";
import { openSafetensors, type SafetensorsFile, type TensorSource } from "./reader.ts";
import type { TensorInfo } from "./header.ts";
import { openShardFiles, shardFilesIn } from "./shard-files.ts";

export const singleFileName = "model.safetensors";
export const indexFileName = "model.safetensors.index.json";

class ShardedSource implements TensorSource {
  readonly names: readonly string[];
  readonly #fileOf: ReadonlyMap<string, SafetensorsFile>;
  readonly #indexPath: string;

  constructor(indexPath: string, fileOf: ReadonlyMap<string, SafetensorsFile>) {
    this.#indexPath = indexPath;
    this.#fileOf = fileOf;
    this.names = [...fileOf.keys()];
  }

  #file(name: string): SafetensorsFile {
    const file = this.#fileOf.get(name);
    if (file === undefined) throw new UserError(`${this.#indexPath}: names no tensor ${name}`);
    return file;
  }

  has(name: string): boolean {
    return this.#fileOf.has(name);
  }
  info(name: string): TensorInfo {
    return this.#file(name).info(name);
  }
  fileOf(name: string): string {
    return this.#file(name).path;
  }
  readInto(name: string, into: Uint8Array, byteOffset?: number): void {
    this.#file(name).readInto(name, into, byteOffset);
  }
  read(name: string): Uint8Array<ArrayBuffer> {
    return this.#file(name).read(name);
  }
  close(): void {
    for (const file of new Set(this.#fileOf.values())) file.close();
  }
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a model folder's weights. With the folder's checksums, all that is read is checked.
 * @throws UserError if there are none, or a shard is missing or invalid
 *
 * @example
 * ```ts no-run
 * import { openModelWeights } from "torchforge/safetensors";
 *
 * using weights = openModelWeights("./model"); // one file, or shards with their index
 * console.log(weights.names.length);
 * ```
 */
export function openModelWeights(folder: string, sums?: FolderSums): TensorSource {
  const single = join(folder, singleFileName);
  if (existsSync(single)) return openSafetensors(single, sums);
  const index = join(folder, indexFileName);
  if (existsSync(index)) return openShards(folder, index, sums);
  if (existsSync(folder) && shardFilesIn(folder, "model").length > 0)
    return openShardFiles(folder, "model", sums);
  const others = existsSync(folder)
    ? readdirSync(folder).filter((name) => /\.(bin|pth?|gguf|safetensors)$/.test(name))
    : undefined;
  let found = "found none";
  if (others === undefined) found = "the folder does not exist";
  else if (others.length > 0) found = `found only ${others.slice(0, 5).join(", ")}`;
  throw new UserError(
    `${folder}: expected weights in ${singleFileName} or ${indexFileName}, ${found}.${otherModelFormat(folder)}`,
  );
}

function openShards(folder: string, indexPath: string, sums: FolderSums | undefined): TensorSource {
  const weightMap = readWeightMap(indexPath, sums);
  const open = new Map<string, SafetensorsFile>();
  const fileOf = new Map<string, SafetensorsFile>();
  try {
    for (const [name, shard] of Object.entries(weightMap)) {
      if (basename(shard) !== shard || shard === ".." || shard === "." || shard === "") {
        throw new UserError(`${indexPath}: tensor ${name} is said to lie outside the folder (${shard})`);
      }
      let file = open.get(shard);
      if (file === undefined) {
        if (!existsSync(join(folder, shard))) {
          throw new UserError(
            `${indexPath}: names the shard ${shard}, which is not in the folder. Download the model again.`,
          );
        }
        file = openSafetensors(join(folder, shard), sums);
        open.set(shard, file);
      }
      if (!file.has(name)) {
        throw new UserError(`${indexPath}: says that ${shard} holds ${name}; it does not`);
      }
      fileOf.set(name, file);
    }
  } catch (error) {
    for (const file of open.values()) file.close();
    throw error;
  }
  return new ShardedSource(indexPath, fileOf);
}

function readWeightMap(indexPath: string, sums: FolderSums | undefined): Record<string, string> {
  const bytes = readFileSync(indexPath);
  const expected = sums?.files[indexFileName];
  if (expected !== undefined && !isAsSummed(bytes, expected))
    throw new UserError(`${indexPath}: damaged: it is not what was saved. ${sums!.advice}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new UserError(`${indexPath}: is not JSON (${messageOf(error)})`, { cause: error });
  }
  const map = (parsed as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null || Object.values(map).some((v) => typeof v !== "string")) {
    throw new UserError(`${indexPath}: expected "weight_map" to map tensor names to file names`);
  }
  return map as Record<string, string>;
}
