// Copies tensors' bytes into memory of its own, from which a thread writes them while training changes the tensors. Knows
// the files that a checkpoint has, not how they are written. The buffers can be used again for the next snapshot.
import { empty, noGrad, scope, type Dtype, type Tensor } from "../torch/index.ts";
import { outlive, type ShardOwnership } from "../parallel/index.ts";
import { UserError } from "../util/index.ts";
import { safetensorsDtype } from "./dtypes.ts";
import { withoutAliases } from "./hf-save.ts";
import { checksumKey, optimizerName } from "./manifest.ts";
import { partsFiles } from "./save-sharded.ts";
import { statesByName, type CheckpointContents } from "./save-step.ts";
import type { StagedFile } from "./write-job.ts";

/** Bytes of the page-locked memory through which a device's tensors come. */
const pinnedBytes = 64 << 20;

export class Stage {
  /** Page-locked pieces by dtype, with `pinned`. */
  readonly #pieces = new Map<string, Tensor>();
  readonly #pinned: boolean;
  #buffers: ReadonlyMap<string, Uint8Array<ArrayBuffer>> = new Map();

  /** @param pinned `async_with_pinned_mem`: devices copy through page-locked memory, which is faster */
  constructor(pinned: boolean) {
    this.#pinned = pinned;
  }

  /** Buffers for the next snapshot, by the names of the checksums. */
  give(buffers: ReadonlyMap<string, Uint8Array<ArrayBuffer>>): void {
    this.#buffers = buffers;
  }

  /**
   * A copy of what this process writes: of a divided model its parts, else everything.
   * @throws UserError when memory doesn't suffice
   */
  snapshot(contents: CheckpointContents, ownership: ShardOwnership | undefined): StagedFile[] {
    const files =
      ownership !== undefined
        ? partsFiles(contents, ownership)
        : (
            [
              { group: "model", file: null, tensors: withoutAliases(contents.model) },
              { group: "optimizer", file: optimizerName, tensors: statesByName(contents.optimizer!) },
            ] as const
          ).map((one) => ({
            ...one,
            metadata: undefined,
            keyOf: (name: string) => checksumKey(one.group, name),
          }));
    const buffers = this.#buffers;
    this.#buffers = new Map();
    return files.map(({ file, metadata, tensors, keyOf }) => ({
      file,
      metadata,
      tensors: [...tensors].map(([name, tensor]) => {
        const checksum = keyOf(name);
        const found = buffers.get(checksum);
        const bytes = found?.length === tensor.nbytes ? found : allocate(tensor.nbytes);
        this.#copy(tensor, bytes);
        return { name, dtype: safetensorsDtype(tensor.dtype), shape: [...tensor.shape], checksum, bytes };
      }),
    }));
  }

  #copy(tensor: Tensor, into: Uint8Array): void {
    if (into.length === 0) return;
    noGrad(() => {
      using _ = scope();
      const flat = tensor.detach().contiguous().view([-1]);
      if (!this.#pinned || flat.device.type === "cpu") {
        flat.to({ device: "cpu" }).readBytes(into);
        return;
      }
      const { itemSize } = tensor.dtype;
      const piece = this.#piece(tensor.dtype);
      for (let at = 0; at < flat.numel(); at += piece.numel()) {
        const some = Math.min(piece.numel(), flat.numel() - at);
        const staged = piece.narrow(0, 0, some);
        staged.copy_(flat.narrow(0, at, some));
        staged.readBytes(into.subarray(at * itemSize, (at + some) * itemSize));
      }
    });
  }

  #piece(dtype: Dtype): Tensor {
    let piece = this.#pieces.get(dtype.name);
    if (piece === undefined) {
      piece = outlive(empty([Math.floor(pinnedBytes / dtype.itemSize)], { dtype, pinMemory: true }));
      this.#pieces.set(dtype.name, piece);
    }
    return piece;
  }

  dispose(): void {
    for (const piece of this.#pieces.values()) piece.dispose();
    this.#pieces.clear();
    this.#buffers = new Map();
  }
}

function allocate(bytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UserError(
      `checkpoint.async_mode: no memory for a copy of weights and optimizer state (${bytes} bytes more were asked for). checkpoint.async_mode: disabled needs none.`,
      { cause: error },
    );
  }
}
