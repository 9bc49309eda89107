// Saves tensors as a Hugging Face folder that Transformers and vLLM load as it is: weights in the wanted dtype, config
// and tokenizer files from where the model came from. Files appear whole or not at all; the folder's own atomicity is its
// caller's (a checkpoint is written beside and renamed).
import { writeModelWeights, type TensorToWrite } from "../../safetensors/index.ts";
import type { Dtype, Tensor } from "../../torch/index.ts";
import { readdirSync } from "node:fs";
import { carryOver } from "./carried.ts";
import { copyCompanions } from "./companions.ts";
import { safetensorsDtype } from "./dtypes.ts";
import { shapesInFiles, type FilePlaces } from "./joined.ts";
import { piecesOf } from "./pieces.ts";
import { makeFolder } from "../../util/index.ts";

export interface SaveOptions {
  /** Of the saved weights (`checkpoint.export_dtype`). Default: each tensor's own. */
  readonly dtype?: Dtype | undefined;
  /** The model folder to take config and tokenizer files from. */
  readonly sourceFolder?: string | undefined;
  /** The chat template that the model was trained with, where it isn't the one of the model folder. */
  readonly chatTemplate?: string | undefined;
  /** Parameters that are written as rows of a larger matrix. */
  readonly places?: FilePlaces | undefined;
  /** See CheckpointContents. */
  readonly ownPrefixes?: readonly string[] | undefined;
  /** Changes to config.json. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  /** Size of a shard at most; default 5 GB, as Transformers. */
  readonly maxShardBytes?: number | undefined;
  /** Called after every tensor with the bytes written so far. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

export interface SaveReport {
  /** Names of the files in the folder that were written. */
  readonly files: readonly string[];
  /** Of the weights. */
  readonly bytes: number;
}

/**
 * Writes `tensors` (by their Hugging Face names) into `folder`. Of tensors that share memory the first is written, as
 * Transformers does with tied word embeddings.
 * @throws UserError when the disk is full
 */
export function saveWeights(
  folder: string,
  tensors: ReadonlyMap<string, Tensor>,
  options: SaveOptions = {},
): SaveReport {
  makeFolder(folder);
  const distinct = withoutAliases(tensors);
  const size = ([, tensor]: readonly [string, Tensor]): number =>
    tensor.numel() * (options.dtype ?? tensor.dtype).itemSize;
  const total = [...distinct].reduce((sum, entry) => sum + size(entry), 0);
  let done = 0;
  const shapes = [...distinct].map(([name, tensor]) => [name, tensor.shape] as const);
  const { places } = options;
  const nameInFile = (name: string): string => places?.get(name)?.into ?? name;
  const toWrite = [...shapesInFiles(shapes, places)].map(([name, shape]): TensorToWrite => {
    // The parts' rows lie one after the other.
    const parts = [...distinct].filter(([part]) => nameInFile(part) === name);
    parts.sort(([a], [b]) => (places?.get(a)?.start ?? 0) - (places?.get(b)?.start ?? 0));
    const dtype = options.dtype ?? parts[0]![1].dtype;
    return {
      name,
      dtype: safetensorsDtype(dtype),
      shape: [...shape],
      *data() {
        for (const one of parts) {
          yield* piecesOf(one[1], dtype);
          done += size(one);
          options.onProgress?.(done, total);
        }
      },
    };
  });
  const files = writeModelWeights(
    folder,
    toWrite,
    options.maxShardBytes === undefined ? {} : { maxShardBytes: options.maxShardBytes },
  );
  const companions = copyCompanions(folder, options, commonDtype(distinct, options));
  const { ownPrefixes, sourceFolder } = options;
  if (ownPrefixes === undefined || sourceFolder === undefined)
    return { files: [...files, ...companions], bytes: total };
  carryOver(folder, sourceFolder, ownPrefixes);
  return { files: readdirSync(folder), bytes: total };
}

/** Tensors that are the same memory in the same form are one. */
export function withoutAliases(tensors: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const seen = new Set<string>();
  const distinct = new Map<string, Tensor>();
  for (const [name, tensor] of tensors) {
    const form = [
      tensor.storageOffset(),
      tensor.shape.join("x"),
      tensor.stride().join("x"),
      tensor.dtype.name,
    ];
    const identity = [tensor.storage.id, ...form].join(" ");
    if (tensor.numel() > 0 && seen.has(identity)) continue;
    seen.add(identity);
    distinct.set(name, tensor);
  }
  return distinct;
}

/** The dtype to name in config.json: that of most elements. */
function commonDtype(tensors: ReadonlyMap<string, Tensor>, options: SaveOptions): string | undefined {
  if (options.dtype !== undefined) return options.dtype.name;
  const elements = new Map<string, number>();
  for (const tensor of tensors.values()) {
    elements.set(tensor.dtype.name, (elements.get(tensor.dtype.name) ?? 0) + tensor.numel());
  }
  return [...elements].sort(([, a], [, b]) => b - a)[0]?.[0];
}
