// Saves one checkpoint: weights under their Hugging Face names, the optimizer's tensors, and state.json, into a folder
// beside the final one, which is renamed when all of it is on the disk. A failure leaves the earlier ones as they were.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { writeModelWeights, writeSafetensors, type TensorToWrite } from "../safetensors/index.ts";
import { stateName, type OptimizerState } from "../optim/index.ts";
import type { ShardSlice } from "../nn/index.ts";
import type { Dtype, Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { safetensorsDtype } from "./dtypes.ts";
import { copyCompanions } from "./companions.ts";
import { piecesOf, withoutAliases } from "./hf-save.ts";
import { checksumKey, optimizerName, type Manifest, type StateParts } from "./manifest.ts";
import { captureRandom, devicesOf, type RandomState } from "./random.ts";
import { beginStep, findLatest, publishStep, stepPath } from "./step-folder.ts";
import { writeManifest, type ManifestContents } from "./write-manifest.ts";

export interface CheckpointContents {
  readonly step: number;
  /** By their Hugging Face names; of tensors that share memory the first is written. */
  readonly model: ReadonlyMap<string, Tensor>;
  /** Which rows of a parameter the tensors hold, the optimizer's too, where a model is divided among ranks; else all. */
  readonly rows?: ReadonlyMap<string, ShardSlice> | undefined;
  /** Names and shapes of the whole model, where this rank hasn't all of it (a pipeline stage). Default: those of `model`. */
  readonly whole?: ReadonlyMap<string, readonly number[]> | undefined;
  /** Without it the checkpoint holds the weights alone. */
  readonly optimizer?: readonly OptimizerState[] | undefined;
  readonly parts?: StateParts | undefined;
  /** Default: the states now of the CPU's generator and of that of the device that the model is on. */
  readonly random?: RandomState | undefined;
  /** Tells a resume whether the configuration changed. */
  readonly configDigest?: string | undefined;
}

export interface StepSaveOptions {
  /** Of the weights; default each tensor's own. Only for checkpoints without an optimizer. */
  readonly dtype?: Dtype | undefined;
  /** A model folder, whose config and tokenizer files make the step folder one that Transformers loads. */
  readonly sourceFolder?: string | undefined;
  readonly maxShardBytes?: number | undefined;
}

export interface SavedStep {
  readonly path: string;
  /** Of all files. */
  readonly bytes: number;
}

/**
 * Writes `folder`/step-N. Returns when it is durable.
 * @throws UserError when the disk is full or can't be written; what was begun is removed, earlier checkpoints are intact
 */
export function saveStep(
  folder: string,
  contents: CheckpointContents,
  options: StepSaveOptions = {},
): SavedStep {
  const { step } = contents;
  let temporary: string | undefined;
  try {
    temporary = beginStep(folder, step);
    const manifest = writeFiles(temporary, folder, contents, options);
    const bytes = Object.values(manifest.files).reduce((sum, size) => sum + size, 0);
    return { path: publishStep(temporary, folder, step), bytes };
  } catch (error) {
    if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true });
    throw explain(error, folder, step);
  }
}

function writeFiles(
  temporary: string,
  folder: string,
  contents: CheckpointContents,
  options: StepSaveOptions,
): Manifest {
  const checksums: Record<string, number> = {};
  const model = withoutAliases(contents.model);
  const shards = options.maxShardBytes === undefined ? {} : { maxShardBytes: options.maxShardBytes };
  writeModelWeights(temporary, withChecksums("model", model, checksums, options.dtype), shards);
  if (contents.optimizer)
    writeSafetensors(
      join(temporary, optimizerName),
      withChecksums("optimizer", statesByName(contents.optimizer), checksums),
    );
  if (options.sourceFolder !== undefined) {
    const { dtype, sourceFolder } = options;
    copyCompanions(temporary, { sourceFolder }, dtype?.name ?? [...model.values()][0]?.dtype.name);
  }
  return writeManifest(temporary, folder, manifestContents(contents), checksums);
}

export const statesByName = (states: readonly OptimizerState[]): Map<string, Tensor> =>
  new Map(states.map((one) => [stateName(one), one.tensor]));

/** What of a checkpoint goes into its manifest, as it is now. */
export function manifestContents(contents: CheckpointContents): ManifestContents {
  return {
    kind: contents.optimizer ? "full" : "model",
    step: contents.step,
    configDigest: contents.configDigest ?? "",
    random: contents.random ?? captureRandom(devicesOf(contents.model.values())),
    parts: contents.parts ?? {},
  };
}

/** The tensors as a file wants them; their checksums are put into `checksums` while they are written. */
export function withChecksums(
  group: "model" | "optimizer",
  tensors: ReadonlyMap<string, Tensor>,
  checksums: Record<string, number>,
  dtype?: Dtype,
  keyOf: (name: string) => string = (name) => checksumKey(group, name),
): TensorToWrite[] {
  return [...tensors].map(([name, tensor]) => ({
    name,
    dtype: safetensorsDtype(dtype ?? tensor.dtype),
    shape: tensor.shape,
    *data() {
      let checksum = 0;
      for (const piece of piecesOf(tensor, dtype ?? tensor.dtype)) {
        checksum = crc32(piece, checksum);
        yield piece;
      }
      checksums[keyOf(name)] = checksum;
    },
  }));
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on the disk",
  EDQUOT: "the disk quota is used up",
  EFBIG: "a file would be larger than the file size limit (ulimit -f)",
  EROFS: "the file system is read-only",
  EACCES: "permission is denied",
  EPERM: "permission is denied",
  EIO: "the disk reports an error",
  ENOTDIR: "a part of the path is a file",
};

/** A fault of the disk becomes the user's to mend; anything else stays what it is. */
export function explain(error: unknown, folder: string, step: number): unknown {
  let at: unknown = error;
  let reason: string | undefined;
  while (at instanceof Error && reason === undefined) {
    reason = reasons[(at as NodeJS.ErrnoException).code ?? ""];
    at = at.cause;
  }
  if (reason === undefined) return error;
  const latest = quietly(() => findLatest(folder));
  const intact = latest
    ? `The checkpoint of step ${latest.step} is intact: after making room, the same command resumes from it.`
    : "No earlier checkpoint is there.";
  return new UserError(
    `${stepPath(folder, step)}: the checkpoint could not be saved: ${reason}. ${intact} checkpoint.folder chooses another place, checkpoint.keep_latest_k keeps fewer.`,
    { cause: error },
  );
}

function quietly<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch {
    return undefined;
  }
}
