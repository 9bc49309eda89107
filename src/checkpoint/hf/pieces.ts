// A tensor's bytes on their way to the disk: converted and copied some at a time, from whatever device it is on.
import { noGrad, scope, type Dtype, type Tensor } from "../../torch/index.ts";

const pieceBytes = 16 << 20;

/** A tensor's bytes in C order, converted, some at a time. */
export function* piecesOf(tensor: Tensor, dtype: Dtype): Generator<Uint8Array> {
  const count = tensor.numel();
  const perPiece = Math.floor(pieceBytes / dtype.itemSize);
  const buffer = new Uint8Array(Math.min(count, perPiece) * dtype.itemSize);
  const contiguous = tensor.isContiguous();
  // A scope may not stay open while the consumer runs, so that what must outlive a piece is kept by hand.
  const flat = noGrad(() => {
    using inner = scope();
    const whole = tensor.detach();
    return inner.keep((contiguous ? whole : whole.contiguous()).view([-1]));
  });
  try {
    for (let at = 0; at < count;) {
      const some = Math.min(perPiece, count - at);
      const bytes = buffer.subarray(0, some * dtype.itemSize);
      noGrad(() => {
        using _ = scope();
        flat.narrow(0, at, some).to({ dtype, device: "cpu" }).readBytes(bytes);
      });
      yield bytes;
      at += some;
    }
  } finally {
    flat.dispose();
  }
}
