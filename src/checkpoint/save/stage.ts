// Copies tensors' bytes into memory of its own, from which a thread writes them while training changes the tensors. The
// buffers can be used again for the next save.
import { empty, noGrad, scope, type Dtype, type Tensor, outlive } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";
import { bufferName, type CheckpointFile, type StagedBuffers, type StagedTensor } from "./job.ts";
import type { PlannedTensor } from "./plan.ts";

/** Bytes of the page-locked memory through which a device's tensors come. */
const pinnedBytes = 64 << 20;

export class Stage {
  /** Page-locked pieces by dtype, with `pinned`. */
  readonly #pieces = new Map<string, Tensor>();
  readonly #pinned: boolean;
  #buffers: StagedBuffers = new Map();

  /** @param pinned `async_with_pinned_mem`: devices copy through page-locked memory, which is faster */
  constructor(pinned: boolean) {
    this.#pinned = pinned;
  }

  /** Gives back the buffers of the save before, for the next one. */
  giveBack(buffers: StagedBuffers): void {
    this.#buffers = buffers;
  }

  /** The files, with the tensors' bytes as they are now. @throws UserError when memory doesn't suffice */
  copy(files: readonly CheckpointFile<PlannedTensor>[]): CheckpointFile<StagedTensor>[] {
    const buffers = this.#buffers;
    this.#buffers = new Map();
    return files.map((file) => ({
      ...file,
      tensors: file.tensors.map(({ tensor, storedAs, ...rest }) => {
        const size = tensor.numel() * storedAs.itemSize;
        const found = buffers.get(bufferName(file, rest));
        const bytes = found?.length === size ? found : allocate(size);
        this.#copy(tensor, storedAs, bytes);
        return { ...rest, bytes };
      }),
    }));
  }

  #copy(tensor: Tensor, dtype: Dtype, into: Uint8Array): void {
    if (into.length === 0) return;
    noGrad(() => {
      using _ = scope();
      const flat = tensor.detach().contiguous().view([-1]);
      if (!this.#pinned || flat.device.type === "cpu") {
        flat.to({ device: "cpu", dtype }).readBytes(into);
        return;
      }
      const piece = this.#piece(dtype);
      for (let at = 0; at < flat.numel(); at += piece.numel()) {
        const some = Math.min(piece.numel(), flat.numel() - at);
        const staged = piece.narrow(0, 0, some);
        staged.copy_(flat.narrow(0, at, some));
        staged.readBytes(into.subarray(at * dtype.itemSize, (at + some) * dtype.itemSize));
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
