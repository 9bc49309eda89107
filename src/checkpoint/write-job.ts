// What the thread that writes checkpoints is sent and what it answers. Types alone: neither side loads the other's code.
import type { SafetensorsDtype } from "../safetensors/index.ts";
import type { ManifestContents } from "./write-manifest.ts";

/** A tensor's bytes, copied out of it: the thread's own until it sends them back. */
export interface StagedTensor {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Its name in the manifest's `checksums`. */
  readonly checksum: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface StagedFile {
  /** Null: the weights of a whole model, in the files that they take. */
  readonly file: string | null;
  readonly metadata: Readonly<Record<string, string>> | undefined;
  readonly tensors: readonly StagedTensor[];
}

/** Files to write, and, of the first rank, the checkpoint to make of all ranks' files. */
export interface WriteJob {
  /** The folder that is being written, which `publish` renames. */
  readonly temporary: string;
  readonly files: readonly StagedFile[];
  /** How many write into the folder; each leaves a mark with its checksums when its files are on the disk. */
  readonly writers: number;
  /** This one's number, from 0. */
  readonly writer: number;
  readonly publish:
    | {
        readonly folder: string;
        readonly manifest: ManifestContents;
        readonly sourceFolder: string | undefined;
        /** To name in config.json. */
        readonly dtype: string | undefined;
        readonly keep: number;
        readonly spared: readonly string[];
      }
    | undefined;
}

export interface Published {
  readonly path: string;
  readonly bytes: number;
  readonly purged: readonly number[];
}

export type WriteReply =
  /** This job's files are on the disk; the buffers may be used again. */
  | { readonly kind: "written"; readonly buffers: readonly (readonly [string, Uint8Array<ArrayBuffer>])[] }
  | { readonly kind: "published"; readonly published: Published }
  | {
      readonly kind: "failed";
      readonly message: string;
      /** Of the system (ENOSPC ...): cloning an error loses it. */
      readonly code: string | undefined;
    };
