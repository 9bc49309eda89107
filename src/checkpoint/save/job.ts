// What one rank writes of a checkpoint and what the first rank then publishes, as plain data: the same whether the bytes come
// from tensors, in this thread, or were copied for another (background.ts). Types alone; no side loads the other's code.
import type { FileLayout, SafetensorsDtype } from "../../safetensors/index.ts";
import type { Manifest } from "../step/manifest.ts";

/** Where a slice begins in the whole tensor. */
export interface SliceStart {
  readonly start: number;
  readonly columns?: { readonly start: number; readonly of: number } | undefined;
}

/** A tensor in a file, or the slice of one that this rank writes. */
export interface TensorInFile {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Its key in the manifest's `checksums`; undefined: none is kept. */
  readonly checksum?: string | undefined;
  /** In a shared file: which slice of the whole tensor it is. */
  readonly slice?: SliceStart | undefined;
}

export interface CheckpointFile<T extends TensorInFile = TensorInFile> {
  readonly file: string;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly tensors: readonly T[];
  /** Of a shared file: several ranks write their slices into it, where this layout has them. */
  readonly layout?: FileLayout | undefined;
}

/** The files of one rank. */
export interface WriteJob<T extends TensorInFile = TensorInFile> {
  /** The folder that is being written, which `publish` renames. */
  readonly temporary: string;
  readonly files: readonly CheckpointFile<T>[];
  /** Number of this rank among those that write, from 0. */
  readonly writer: number;
}

/** What makes the files of all ranks a checkpoint; of the first rank. */
export interface Publication {
  /** `checkpoint.folder`. */
  readonly folder: string;
  readonly temporary: string;
  /** How many ranks write. */
  readonly writers: number;
  readonly manifest: ManifestContents;
  /** Of weights in several files: what lies in which. */
  readonly index?: readonly CheckpointFile[] | undefined;
  /** Where config.json and the tokenizer's files come from. */
  readonly sourceFolder: string | undefined;
  /** The folder's name is that of the model exported beside the checkpoint. */
  readonly isExport: boolean;
  /** In place of its chat template. */
  readonly chatTemplate: string | undefined;
  /** To name in config.json. */
  readonly dtype: string | undefined;
  /** Of an adapter: its adapter_config.json. */
  readonly adapterConfig: string | undefined;
  /** Of a model that is a part of what `sourceFolder` has: see CheckpointContents. Undefined: nothing is carried over. */
  readonly ownPrefixes: readonly string[] | undefined;
  /** The folder holds an adapter alone, as PEFT writes one. */
  readonly isPeft: boolean;
  /** How many checkpoints stay, 0: all; and which of the others do, by path. */
  readonly keep: number;
  readonly spared: readonly string[];
}

export type ManifestContents = Pick<
  Manifest,
  "kind" | "step" | "config_digest" | "run" | "parameters" | "random" | "parts"
>;

export interface Published {
  readonly path: string;
  /** Of all files. */
  readonly bytes: number;
  /** Steps whose checkpoints were removed. */
  readonly purged: readonly number[];
}

/** A tensor whose bytes were copied: the writing thread's own until it sends them back. */
export interface StagedTensor extends TensorInFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface BackgroundJob {
  readonly job: WriteJob<StagedTensor>;
  readonly publication: Publication | undefined;
}

export type StagedBuffers = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

export type BackgroundReply =
  /** This rank's files are on the disk; the buffers may be used again. */
  | { readonly kind: "written"; readonly buffers: StagedBuffers }
  | { readonly kind: "published"; readonly published: Published }
  | {
      readonly kind: "failed";
      readonly message: string;
      /** Of the system (ENOSPC ...): cloning an error loses it. */
      readonly code: string | undefined;
    };

/** Under which name a staged buffer is kept for the next save. */
export const bufferName = ({ file }: CheckpointFile, { name }: TensorInFile): string => `${file}/${name}`;
