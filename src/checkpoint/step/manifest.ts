// state.json: what a step folder holds, and everything of a checkpoint that isn't a tensor. It is written last, so a
// folder that has one was complete when it was published; the sizes in it tell whether it still is.
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../../util/index.ts";
import { fromExactJson, toExactJson, type Exact } from "./exact-json.ts";
import type { RandomState } from "./random.ts";

export const manifestName = "state.json";
export const optimizerName = "optimizer.safetensors";
const format = "torchforge-checkpoint";
const version = 1;

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
  return `${toExactJson({ format, version, ...rest, random, parts } as unknown as Exact)}\n`;
}

/**
 * Reads and checks a step folder's state.json and the sizes of the files beside it.
 * @throws UserError saying that the folder is foreign, incomplete, damaged or of a newer torchforge
 */
export function readManifest(path: string): Manifest {
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
  let parsed: unknown;
  try {
    parsed = fromExactJson(text);
  } catch (error) {
    throw new UserError(`${file}: damaged: it is not JSON (${messageOf(error)}).`, { cause: error });
  }
  const found = parsed as { format?: unknown; version?: unknown } | null;
  if (typeof found !== "object" || found?.format !== format) {
    throw new UserError(
      `${path}: not a checkpoint of torchforge: expected "format": "${format}" in ${manifestName}.`,
    );
  }
  if (found.version !== version) {
    throw new UserError(
      `${path}: a checkpoint in format version ${String(found.version)}; this torchforge reads version ${version}. Use the torchforge that wrote it, or a newer one.`,
    );
  }
  const manifest = parsed as Manifest;
  for (const [name, bytes] of Object.entries(manifest.files)) {
    const size = statSync(join(path, name), { throwIfNoEntry: false })?.size;
    if (size === undefined) throw new UserError(`${path}: damaged: ${name} is missing.`);
    if (size !== bytes) {
      throw new UserError(`${path}: damaged: ${name} has ${size} bytes, expected ${bytes}.`);
    }
  }
  return manifest;
}
