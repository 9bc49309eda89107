// Random arguments of the fuzz tests: by schema type, from sane to absurd.
import type * as Torch from "../../../src/torch/index.ts";
import type { Random } from "./random.ts";

const smallInts = [-3, -2, -1, 0, 1, 2, 3, 4, 5, 8];
const hugeInts = [2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 40, 2 ** 53 - 1, -(2 ** 53 - 1)];
const absurdInts = [NaN, NaN, NaN, Infinity, -Infinity, 0.5, 2 ** 53, 2n ** 62n, -(2n ** 63n), 2n ** 64n];
const floats = [0, 1, -1, 0.5, 0.1, 2, -0, 1e-30, 1e30, NaN, Infinity, -Infinity];
const strings = [
  "",
  "q",
  "mean",
  "sum",
  "none",
  "floor",
  "trunc",
  "reflect",
  "constant",
  "ij",
  "cpu",
  "linear",
  "ij->ji",
  "\0",
];

/** What a call can get wrong; the fuzz tests count how often each was tried. */
export const mistakes = [
  "wrong type",
  "wrong count",
  "disposed tensor",
  "huge size",
  "NaN size",
  "another thread's tensor",
] as const;
export type Mistake = (typeof mistakes)[number];

function isDisposed(tensor: Torch.Tensor): boolean {
  try {
    return tensor.ndim < 0;
  } catch {
    return true;
  }
}

export class Values {
  readonly #torch: typeof Torch;
  readonly #rng: Random;
  readonly #tensors: Torch.Tensor[] = [];
  readonly #foreign: unknown;
  readonly #count: (mistake: Mistake) => void;

  constructor(torch: typeof Torch, rng: Random, count: (mistake: Mistake) => void) {
    this.#torch = torch;
    this.#rng = rng;
    this.#count = count;
    for (let i = 0; i < 12; i++) this.#tensors.push(this.#make());
    const disposed = torch.ones([2]);
    this.#tensors.push(disposed);
    disposed.dispose();
    // As it arrives in another thread.
    this.#foreign = structuredClone(torch.ones([2]));
  }

  /** Some results become arguments. */
  offer(tensor: Torch.Tensor): void {
    if (this.#rng.chance(0.4)) this.#tensors[this.#rng.below(this.#tensors.length)] = tensor;
  }

  #make(): Torch.Tensor {
    const { torch, rng } = { torch: this.#torch, rng: this.#rng };
    const shape = rng.pick([
      [],
      [0],
      [1],
      [3],
      [5],
      [2, 3],
      [3, 3],
      [4, 4],
      [0, 3],
      [2, 0],
      [2, 3, 4],
      [1, 2, 4, 4],
      [1, 1, 2, 3, 3],
      [2, 2, 2, 2, 2],
    ]);
    const dtype = rng.pick([
      torch.float32,
      torch.float32,
      torch.float32,
      torch.float64,
      torch.int64,
      torch.int32,
      torch.bool,
      torch.bfloat16,
      torch.float16,
      torch.uint8,
      torch.complex64,
      torch.int8,
      torch.uint16,
      torch.uint64,
      torch.float8E4m3fn,
    ]);
    let made = torch
      .randn(shape)
      .mul(3)
      .to(torch.float64)
      .abs()
      .to(dtype.isComplex ? torch.float32 : dtype)
      .to(dtype);
    const form = rng.below(12);
    if (form === 0 && made.ndim >= 2) made = made.transpose(0, -1);
    if (form === 1) made = made.unsqueeze(0).expand([2, ...shape]);
    if (form === 2 && dtype.isFloatingPoint && dtype.itemSize > 1) made = made.detach().requiresGrad_();
    if (form === 3 && dtype.isFloatingPoint && dtype.itemSize > 1)
      made = made.detach().requiresGrad_().mul(2);
    if (form === 4) made = torch.empty(shape, { dtype, device: "meta" });
    if (form === 5 && dtype === torch.float32 && shape.length > 0) made = made.toSparse();
    if (form === 6 && shape.length > 0 && shape[0]! > 1) made = made.narrow(0, 1, 1);
    if (form === 7 && dtype === torch.float32) made = torch.inferenceMode(() => torch.ones(shape));
    if (form === 8 && dtype === torch.complex64) made = made.conj();
    if (form === 9) {
      try {
        made = this.layout(made);
      } catch {
        // Not every tensor has every layout.
      }
    }
    return made;
  }

  /** The same in another layout, quantized, or a view that is computed when it is read. */
  layout(tensor: Torch.Tensor): Torch.Tensor {
    const { torch, rng } = { torch: this.#torch, rng: this.#rng };
    const plain = (): Torch.Tensor => tensor.detach().to(torch.float32);
    return rng.pick<() => Torch.Tensor>([
      () => tensor.toSparse(),
      () => tensor.toSparseCsr(),
      () => tensor.toSparseCsc(),
      () => tensor.toSparseBsr([1, 1]),
      () => tensor.toSparse(1),
      () => plain().toMkldnn(),
      () => tensor.to(torch.complex64).conj(),
      () => tensor.to(torch.complex64).conj().imag(),
      () => tensor.expand([2, ...tensor.shape]),
      () => tensor.flatten().asStrided([2, 2], [1, 1]),
    ])();
  }

  tensor(): Torch.Tensor {
    const tensor = this.#rng.pick(this.#tensors);
    if (isDisposed(tensor)) this.#count("disposed tensor");
    return tensor;
  }
  int(): unknown {
    const at = this.#rng.next();
    const int = this.#rng.pick<unknown>(at < 0.9 ? smallInts : at < 0.95 ? hugeInts : absurdInts);
    if (Number.isNaN(int)) this.#count("NaN size");
    else if (at >= 0.9) this.#count("huge size");
    return int;
  }
  float(): number {
    return this.#rng.pick(floats);
  }
  list(make: () => unknown, most = 5): unknown[] {
    return Array.from({ length: this.#rng.below(most) }, make);
  }

  /** Anything at all. */
  any(): unknown {
    const rng = this.#rng;
    this.#count("wrong type");
    return rng.pick<() => unknown>([
      () => undefined,
      () => null,
      () => this.int(),
      () => this.float(),
      () => rng.pick(strings),
      () => true,
      () => this.tensor(),
      () => {
        this.#count("another thread's tensor");
        return this.#foreign;
      },
      () => [],
      () => ({}),
      () => () => 1,
      () => Symbol("s"),
      () => this.list(() => this.any(), 3),
      () => this.list(() => this.tensor()),
      () => new Float32Array(3),
      () => this.#torch.float32,
      () => new Date(0),
      () => 10n,
    ])();
  }

  ofType(type: string): unknown {
    const rng = this.#rng;
    const torch = this.#torch;
    const base = type.replace(/\?$/, "");
    if (base !== type && rng.chance(0.3)) return null;
    const list = /^int\[(\d*)\]$/.exec(base);
    if (list) {
      const n = Number(list[1] || 0);
      if (n > 0 && rng.chance(0.3)) return this.int();
      const length = n > 0 && rng.chance(0.8) ? n : rng.below(5);
      return Array.from({ length }, () => this.int());
    }
    if (base.startsWith("bool[")) return this.list(() => rng.chance(0.5), 4);
    switch (base) {
      case "Tensor":
        return this.tensor();
      case "Tensor[]":
        return this.list(() => this.tensor());
      case "Tensor?[]":
        return this.list(() => (rng.chance(0.3) ? null : this.tensor()));
      case "int":
        return this.int();
      case "Scalar":
        return rng.pick<unknown>([this.int(), this.float(), true, 3n]);
      case "Scalar[]":
        return this.list(() => this.float());
      case "float":
        return this.float();
      case "float[]":
        return this.list(() => this.float());
      case "bool":
        return rng.chance(0.5);
      case "str":
        return rng.pick(strings);
      case "ScalarType":
        return rng.pick(torch.dtypes);
      case "Device":
        return rng.pick(["cpu", "cpu", "meta", "cuda", "cuda:7", "q", torch.device("cpu")]);
      case "Layout":
        return rng.pick(["strided", "sparse", "sparse_csr", "mkldnn", "q"]);
      case "MemoryFormat":
        return rng.pick(["contiguous", "preserve", "channels_last", "q"]);
      case "Generator":
        return rng.pick<unknown>([torch.defaultGenerator(), { id: 1e9 }, { id: -1 }, {}]);
      default:
        return this.any();
    }
  }
}
