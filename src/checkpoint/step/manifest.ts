// state.json: what a step folder holds, and everything of a checkpoint that isn't a tensor. It is written last, so a
// folder that has one was complete when it was published; the sizes and checksums in it tell whether it still is, and its own
// last entry whether it is itself.
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  chunkBytes,
  isAsSummed,
  messageOf,
  sealHolds,
  sealJson,
  UserError,
  type FolderSums,
} from "../../util/index.ts";
import { fromExactJson, toExactJson, type Exact } from "./exact-json.ts";
import type { RandomState } from "./random.ts";

export const manifestName = "state.json";
export const optimizerName = "optimizer.safetensors";
const format = "torchforge-checkpoint";
/** Version 1 had no checksums but those of whole tensors. */
const version = 2;

/** Files without which a checkpoint can't be read; what else is in the folder, users may edit. */
const isWeights = (name: string): boolean => /\.safetensors(\.index\.json)?$/.test(name);

/** The parts of the training state, besides weights and optimizer, that `checkpoint.exclude_from_loading` can leave out. */
export interface StateParts {
  readonly lr_scheduler?: Exact;
  readonly dataloader?: Exact;
  readonly train_state?: Exact;
}

export interface Manifest {
  /** "full" can be resumed from; "model" holds the weights alone. */
  readonly kind: "full" | "model";
  readonly step: number;
  /** Rises with every save into a folder: the latest is the one saved last, not the one of the highest step. */
  readonly sequence: number;
  readonly saved_at: string;
  readonly config_digest: string;
  /** What the run was: its configuration, and whatever else its trainer compares at a resume. */
  readonly run?: Exact | undefined;
  /** The parameters that it holds, where the model has others, too (a partial checkpoint). */
  readonly parameters?: readonly string[] | undefined;
  /** Sizes in bytes of all other files in the folder. */
  readonly files: Readonly<Record<string, number>>;
  /** Checksums of all other files by chunks (see util/chunk-sums.ts); none in version 1. */
  readonly sums?: Readonly<Record<string, Uint32Array>> | undefined;
  /**
   * CRC-32 of each tensor's bytes, by `model/NAME` and `optimizer/NAME`; where ranks saved slices of it, of each slice, by
   * `model/NAME@ROW` with its first row, or `model/NAME@ROW,COLUMN` where columns are divided, too.
   */
  readonly checksums: Readonly<Record<string, number>>;
  readonly random: RandomState;
  readonly parts: StateParts;
}

/** The key of a tensor's checksum, or of a slice's. */
export function checksumKey(
  group: string,
  name: string,
  slice?: { readonly start: number; readonly columns?: { readonly start: number } | undefined },
): string {
  if (slice === undefined) return `${group}/${name}`;
  return `${group}/${name}@${slice.start}${slice.columns === undefined ? "" : `,${slice.columns.start}`}`;
}

/** What a partial checkpoint is, in words. */
export const partialNote = (parameters: number): string =>
  `a partial checkpoint, which holds ${parameters} parameters of its model`;

/** How many parameters the partial checkpoint in a folder holds; undefined where there is none. */
export function partialIn(folder: string): number | undefined {
  if (!existsSync(join(folder, manifestName))) return undefined;
  return readManifest(folder).parameters?.length;
}

export function manifestText(manifest: Manifest): string {
  const { random, parts, ...rest } = manifest;
  return sealJson(toExactJson({ format, version, ...rest, random, parts } as unknown as Exact));
}

/**
 * Reads and checks a step folder's state.json and the sizes of the weights beside it.
 * @param advice a sentence for what is damaged
 * @throws UserError saying that the folder is foreign, incomplete, damaged or of a newer torchforge
 */
export function readManifest(path: string, advice = ""): Manifest {
  const file = join(path, manifestName);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(
      `${path}: not a complete checkpoint of torchforge: expected ${manifestName} in it, found none.`,
      { cause: error },
    );
  }
  const damaged = (what: string, cause?: unknown): UserError =>
    new UserError(`${what}.${advice && ` ${advice}`}`, { cause });
  const holds = sealHolds(text);
  if (holds === false)
    throw damaged(`${file}: damaged: its text is not what was saved (its checksum disagrees)`);
  let parsed: unknown;
  try {
    parsed = fromExactJson(text);
  } catch (error) {
    throw damaged(`${file}: damaged: it is not JSON (${messageOf(error)})`, error);
  }
  const found = parsed as { format?: unknown; version?: unknown } | null;
  if (typeof found !== "object" || found?.format !== format) {
    throw new UserError(
      `${path}: not a checkpoint of torchforge: expected "format": "${format}" in ${manifestName}.`,
    );
  }
  if (found.version !== version && found.version !== 1) {
    throw new UserError(
      `${path}: a checkpoint in format version ${String(found.version)}; this torchforge reads versions 1 and ${version}. Use the torchforge that wrote it, or a newer one.`,
    );
  }
  if (found.version === version && holds === undefined)
    throw damaged(`${file}: damaged: expected its checksum at its end, found none`);
  const manifest = parsed as Manifest;
  const fault = faultIn(manifest, found.version === version);
  if (fault !== undefined) throw damaged(`${file}: damaged: ${fault}`);
  for (const [name, bytes] of Object.entries(manifest.files)) {
    if (!isWeights(name)) continue;
    const size = statSync(join(path, name), { throwIfNoEntry: false })?.size;
    if (size === undefined) throw damaged(`${path}: damaged: ${name} is missing`);
    if (size !== bytes) throw damaged(`${path}: damaged: ${name} has ${size} bytes, expected ${bytes}`);
  }
  return manifest;
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What no checkpoint of ours has in its state.json, in words. */
function faultIn(manifest: Manifest, hasSums: boolean): string | undefined {
  const { kind, step, sequence, files, sums, checksums, random, parts } = manifest;
  const shown = (value: unknown): string => (JSON.stringify(value) ?? "nothing").slice(0, 60);
  if (kind !== "full" && kind !== "model") return `kind: expected "full" or "model", found ${shown(kind)}`;
  for (const [name, count] of Object.entries({ step, sequence }))
    if (!isCount(count)) return `${name}: expected a whole number from 0 on, found ${shown(count)}`;
  for (const [name, map] of Object.entries({ files, checksums })) {
    if (!isRecord(map)) return `${name}: expected an object, found ${shown(map)}`;
    for (const [key, count] of Object.entries(map))
      if (!isCount(count)) return `${name}: ${key}: expected a whole number from 0 on, found ${shown(count)}`;
  }
  for (const [name, map] of Object.entries({ random, parts }))
    if (!isRecord(map)) return `${name}: expected an object, found ${shown(map)}`;
  if (!hasSums) return undefined;
  if (!isRecord(sums)) return `sums: expected an object, found ${shown(sums)}`;
  for (const [name, bytes] of Object.entries(files)) {
    const own: unknown = sums[name];
    if (!(own instanceof Uint32Array) || own.length !== Math.ceil(bytes / chunkBytes))
      return `sums: ${name}: expected the checksums of ${bytes} bytes`;
  }
  return undefined;
}

/** What to check the weights in a step folder with; undefined for a version 1 checkpoint. */
export function sumsIn({ sums }: Manifest, advice: string): FolderSums | undefined {
  return sums && { files: sums, advice };
}

/**
 * The manifest of a folder of weights, where it is one of ours: an exported model, or a checkpoint.
 * @throws UserError as `readManifest`
 */
export function manifestOfWeights(path: string): Manifest | undefined {
  const file = join(path, manifestName);
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, "utf8");
  // Other tools may have a state.json of their own.
  if (sealHolds(text) === undefined && !text.includes(`"format":"${format}"`)) return undefined;
  return readManifest(path, replacedAdvice(path));
}

/** For a folder of weights whose files aren't what was saved. */
export const replacedAdvice = (path: string): string =>
  `Take an intact copy. If files were replaced on purpose, remove ${join(path, manifestName)}, which has their sizes and checksums.`;

/** A sentence on files beside the weights, which users may edit, that aren't what was saved; undefined: all are. */
export function editedNote(path: string, { files, sums }: Manifest): string | undefined {
  const edited = Object.entries(files)
    .filter(([name]) => !isWeights(name))
    .filter(([name, bytes]) => {
      const file = join(path, name);
      const found = statSync(file, { throwIfNoEntry: false });
      if (found?.isFile() !== true || found.size !== bytes) return true;
      const own = sums?.[name];
      return own !== undefined && !isAsSummed(readFileSync(file), own);
    })
    .map(([name]) => name);
  if (edited.length === 0) return undefined;
  const are = edited.length === 1 ? "is" : "are";
  return `${path}: ${edited.join(", ")} ${are} not as saved: edited since, or damaged. If nobody edited ${edited.length === 1 ? "it" : "them"}, copy ${edited.length === 1 ? "it" : "them"} from the model that was trained`;
}
