// Saves one checkpoint of a model that is divided among ranks, without any rank ever having all of it. Every rank calls it.
// A checkpoint to resume from: one file a rank for weights and one for the optimizer (see safetensors/shard-files.ts). One of
// the weights alone: the files that one process would write, each rank writing its own rows into them. Either is renamed
// into place by rank 0 when all ranks' bytes are on the disk; a failure of any rank leaves the earlier ones as they were.
import { closeSync, fsyncSync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { stateName } from "../optim/index.ts";
import { isFirstSlice, wholeShape, type ShardSlice } from "../nn/index.ts";
import type { Ranks, ShardOwnership } from "../parallel/index.ts";
import {
  layoutOf,
  planModelFiles,
  shardFileName,
  shardMetadata,
  writeIndex,
  writeSafetensors,
} from "../safetensors/index.ts";
import type { Dtype, Tensor } from "../torch/index.ts";
import { safetensorsDtype } from "./dtypes.ts";
import { copyCompanions } from "./companions.ts";
import { piecesOf } from "./hf-save.ts";
import { rowsOfStates } from "./load-step.ts";
import { checksumKey } from "./manifest.ts";
import {
  explain,
  manifestContents,
  statesByName,
  withChecksums,
  type CheckpointContents,
  type SavedStep,
  type StepSaveOptions,
} from "./save-step.ts";
import { beginStep, publishStep } from "./step-folder.ts";
import { writeManifest } from "./write-manifest.ts";

export interface ShardedSaveOptions extends StepSaveOptions {
  readonly ranks: Ranks;
  readonly ownership: ShardOwnership;
}

/**
 * Writes `folder`/step-N. Resolves on every rank when it is durable.
 * @throws UserError on every rank when one of them can't write; what was begun is removed, earlier checkpoints are intact
 */
export async function saveStepSharded(
  folder: string,
  contents: CheckpointContents,
  options: ShardedSaveOptions,
): Promise<SavedStep> {
  const { ranks } = options;
  const { step } = contents;
  let temporary: string | undefined;
  try {
    // What rank 0 begins is all ranks' to write into.
    temporary = await ranks.fromFirst(() => beginStep(folder, step));
    const into = temporary;
    if (!contents.optimizer) await ranks.fromFirst(() => prepareWhole(into, contents, options));
    const checksums = await ranks.together(() =>
      contents.optimizer ? writeParts(into, contents, options) : writeOwnRows(into, contents, options),
    );
    const all = Object.assign({}, ...(await ranks.gather(checksums))) as Record<string, number>;
    return await ranks.fromFirst(() => {
      const { dtype, sourceFolder } = options;
      if (sourceFolder !== undefined)
        copyCompanions(into, { sourceFolder }, (dtype ?? dtypeOf(contents)).name);
      const manifest = writeManifest(into, folder, manifestContents(contents), all);
      const bytes = Object.values(manifest.files).reduce((sum, size) => sum + size, 0);
      return { path: publishStep(into, folder, step), bytes };
    });
  } catch (error) {
    if (temporary !== undefined && ranks.isFirst) rmSync(temporary, { recursive: true, force: true });
    throw explain(error, folder, step);
  }
}

const dtypeOf = ({ model }: CheckpointContents): Dtype => [...model.values()][0]!.dtype;

/** A file of one rank: its parts of the tensors of a group. */
export interface PartsFile {
  readonly group: "model" | "optimizer";
  readonly file: string;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Under which name a tensor's checksum is kept. */
  readonly keyOf: (name: string) => string;
}

/** The files of one rank; none of a replica. */
export function partsFiles(
  { model, optimizer, rows = new Map() }: CheckpointContents,
  { index, replica, saved }: ShardOwnership,
): PartsFile[] {
  if (replica > 0) return [];
  const fileOf = (
    group: "model" | "optimizer",
    tensors: ReadonlyMap<string, Tensor>,
    parts: ReadonlyMap<string, ShardSlice>,
    parameterOf: (name: string) => string,
  ): PartsFile => {
    // What isn't divided with its parameter, such as a count of steps, is saved with the parameter's first slice.
    const own = [...tensors].filter(([name]) => {
      const parameter = parameterOf(name);
      return saved.has(parameter) && (parts.has(name) || isFirstSlice(rows.get(parameter)));
    });
    const partOf = (name: string) => parts.get(name) ?? { start: 0 };
    return {
      group,
      file: shardFileName(group, index),
      tensors: new Map(own),
      metadata: shardMetadata(own.map(([name, { shape }]) => ({ name, shape, ...partOf(name) }))),
      keyOf: (name) => checksumKey(group, name, partOf(name)),
    };
  };
  const states = optimizer!;
  const parameters = new Map(states.map((one) => [stateName(one), one.parameter]));
  return [
    fileOf("model", model, rows, (name) => name),
    fileOf("optimizer", statesByName(states), rowsOfStates(states, rows), (name) => parameters.get(name)!),
  ];
}

/** Writes this rank's files. Returns their checksums. */
function writeParts(
  temporary: string,
  contents: CheckpointContents,
  { ownership }: ShardedSaveOptions,
): Record<string, number> {
  const checksums: Record<string, number> = {};
  for (const { group, file, tensors, metadata, keyOf } of partsFiles(contents, ownership))
    writeSafetensors(join(temporary, file), withChecksums(group, tensors, checksums, undefined, keyOf), {
      metadata,
    });
  return checksums;
}

/** The files of the whole model, the same on every rank. */
function wholeFiles(contents: CheckpointContents, options: ShardedSaveOptions) {
  const { model, rows = new Map<string, ShardSlice>() } = contents;
  const own = [...model].map(([name, { shape }]) => [name, wholeShape(shape, rows.get(name))] as const);
  const dtype = safetensorsDtype(options.dtype ?? dtypeOf(contents));
  const tensors = [...(contents.whole ?? own)].map(([name, shape]) => ({ name, dtype, shape }));
  const files = planModelFiles(tensors, options.maxShardBytes);
  return files.map((one) => ({ ...one, layout: layoutOf(one.tensors) }));
}

/** Rank 0: the files at their full sizes, with headers, and the index. */
function prepareWhole(temporary: string, contents: CheckpointContents, options: ShardedSaveOptions): null {
  const files = wholeFiles(contents, options);
  for (const { file, layout } of files) {
    const fd = openSync(join(temporary, file), "w");
    try {
      ftruncateSync(fd, layout.bytes);
      writeFully(fd, layout.header, 0);
    } finally {
      closeSync(fd);
    }
  }
  if (files.length > 1) writeIndex(temporary, files);
  return null;
}

/** Writes this rank's rows where they belong, and sees them onto the disk. */
function writeOwnRows(
  temporary: string,
  contents: CheckpointContents,
  options: ShardedSaveOptions,
): Record<string, number> {
  const { replica, saved } = options.ownership;
  if (replica > 0) return {};
  for (const { file, tensors, layout } of wholeFiles(contents, options)) {
    const fd = openSync(join(temporary, file), "r+");
    try {
      for (const { name } of tensors) {
        const tensor = contents.model.get(name);
        const part = contents.rows?.get(name);
        if (tensor === undefined || !saved.has(name)) continue;
        const dtype = options.dtype ?? tensor.dtype;
        const begin = layout.offsets.get(name)!;
        const width = tensor.shape.slice(1).reduce((a, b) => a * b, 1) * dtype.itemSize;
        let at = 0;
        for (const piece of piecesOf(tensor, dtype)) {
          writePart(fd, piece, { begin, width, part, at });
          at += piece.length;
        }
      }
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
  return {};
}

/** Writes bytes of a rank's part, from its byte `at` on, where they belong in the whole tensor, which lies at `begin`. */
function writePart(
  fd: number,
  bytes: Uint8Array,
  { begin, width, part, at }: { begin: number; width: number; part: ShardSlice | undefined; at: number },
): void {
  const columns = part?.columns;
  if (columns === undefined) {
    writeFully(fd, bytes, begin + (part?.start ?? 0) * width + at);
    return;
  }
  const perColumn = width / columns.length;
  for (let done = 0; done < bytes.length;) {
    const row = Math.floor((at + done) / width);
    const inRow = at + done - row * width;
    const some = bytes.subarray(done, Math.min(bytes.length, done + width - inRow));
    const place = (part!.start + row) * columns.of + columns.start;
    done += writeFully(fd, some, begin + place * perColumn + inRow);
  }
}

function writeFully(fd: number, bytes: Uint8Array, position: number): number {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, Math.min(bytes.length - done, 1 << 30), position + done);
  }
  return bytes.length;
}
