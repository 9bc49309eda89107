// Calls that libtorch accepts, and small lies about them. samples.json has arguments of each operator as PyTorch's own
// tests call it, backward passes among them (make_samples.py); a random call is one of these with an argument or two
// changed, which reaches much further into an operator than arguments that fit nothing.
import { readFileSync } from "node:fs";

import { forgeSamples } from "./forge-samples.ts";
import { moreSamples } from "./more-samples.ts";

import type * as Torch from "../../../src/torch/index.ts";
import type { Random } from "./random.ts";
import type { Values } from "./values.ts";

/** A tensor: dtype, shape; strides where it isn't contiguous; the values of a small index, the largest of a larger one. */
interface TensorSample {
  d: string;
  s: number[];
  t?: number[];
  v?: number[];
  m?: number;
}

// A TensorSample, { n: NaN or an infinity }, { dtype }, { device }, a list of these, or the value itself.
type Encoded = unknown;
export type Sample = Record<string, Encoded>;

const file = new URL("samples.json", import.meta.url);
const samples = JSON.parse(readFileSync(file, "utf8")) as Record<string, Sample[]>;

const isTensor = (value: Encoded): value is TensorSample =>
  typeof value === "object" && value !== null && "d" in value && "s" in value;

/** Indices and sizes that are far out. */
const farInts: readonly (number | bigint)[] = [
  -1,
  -7,
  1000,
  65_537,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  2 ** 40,
  2n ** 62n,
  2n ** 63n - 1n,
  -(2n ** 63n),
  -(2n ** 62n),
];

export class Samples {
  readonly #torch: typeof Torch;
  readonly #rng: Random;
  readonly #values: Values;
  readonly #dtypes: Map<string, Torch.Dtype>;

  constructor(torch: typeof Torch, rng: Random, values: Values) {
    this.#torch = torch;
    this.#rng = rng;
    this.#values = values;
    this.#dtypes = new Map(torch.dtypes.map((one) => [one.name, one]));
  }

  /** @param operator `aten::add.Tensor`, `forge::swiglu` */
  static of(operator: string): readonly Sample[] {
    const [space, name] = operator.split("::");
    if (space === "forge") return forgeSamples[name!] ?? [];
    return [...(samples[name!] ?? []), ...(moreSamples[name!] ?? [])];
  }

  /** The argument as it was recorded. */
  decode(encoded: Encoded): unknown {
    if (isTensor(encoded)) return this.#tensor(encoded);
    if (Array.isArray(encoded)) return encoded.map((one) => this.decode(one));
    if (typeof encoded === "object" && encoded !== null) {
      if ("n" in encoded) return { NaN, inf: Infinity, "-inf": -Infinity }[encoded.n as string];
      if ("dtype" in encoded) return this.#dtypes.get(encoded.dtype as string) ?? this.#torch.float32;
      if ("device" in encoded) return encoded.device;
    }
    return encoded;
  }

  /** Something like it that may not fit. */
  change(encoded: Encoded): unknown {
    const rng = this.#rng;
    if (rng.chance(0.05)) return this.#values.any();
    if (isTensor(encoded)) return this.#changeTensor(encoded);
    if (Array.isArray(encoded)) return this.#changeList(encoded);
    if (typeof encoded === "boolean") return !encoded;
    if (typeof encoded === "number") {
      if (!Number.isInteger(encoded)) return this.#values.float();
      return rng.pick<() => unknown>([
        () => encoded + rng.pick([-1, 1, 2]),
        () => -encoded,
        () => 0,
        () => rng.pick(farInts),
        () => this.#values.int(),
        () => this.#values.float(),
      ])();
    }
    if (encoded === null) return this.#values.any();
    if (typeof encoded === "string") return this.#values.ofType("str");
    return this.#values.any();
  }

  #changeList(list: readonly Encoded[]): unknown {
    const rng = this.#rng;
    const whole = list.map((one) => this.decode(one));
    if (list.length === 0) return [this.#values.any()];
    const at = rng.below(list.length);
    switch (rng.below(5)) {
      case 0:
        return whole.toSpliced(at, 1);
      case 1:
        return [...whole, whole[at]];
      case 2:
        return [];
      default:
        return whole.with(at, this.change(list[at]));
    }
  }

  #tensor({ d, s, t, v, m }: TensorSample): Torch.Tensor {
    const { torch, rng } = { torch: this.#torch, rng: this.#rng };
    const dtype = this.#dtypes.get(d) ?? torch.float32;
    if (t) {
      const reach = s.reduce((sum, size, i) => sum + Math.max(0, size - 1) * t[i]!, 1);
      return this.#content(dtype, [Math.max(1, reach)], 4).asStrided(s, t);
    }
    if (v) return torch.fromTypedArray(BigInt64Array.from(v, BigInt), s).to(dtype);
    const made = this.#content(dtype, s, m ?? 4);
    const form = rng.below(12);
    if (form < 2 && dtype.isFloatingPoint && dtype.itemSize > 1) return made.requiresGrad_();
    if (form === 2 && dtype.isFloatingPoint && dtype.itemSize > 1) return made.requiresGrad_().mul(1);
    return made;
  }

  #content(dtype: Torch.Dtype, shape: number[], most: number): Torch.Tensor {
    const { torch } = this;
    if (dtype.isComplex || dtype.isFloatingPoint) return torch.randn(shape).to(dtype);
    return torch.rand(shape).mul(most).to(dtype);
  }

  get torch(): typeof Torch {
    return this.#torch;
  }

  #changeTensor(encoded: TensorSample): unknown {
    const { torch, rng } = { torch: this.#torch, rng: this.#rng };
    const { s, d } = encoded;
    const plain = { d, s };
    const dtype = this.#dtypes.get(d) ?? torch.float32;
    const at = rng.below(Math.max(1, s.length));
    const shaped = (shape: number[]): Torch.Tensor => this.#tensor({ d, s: shape, m: encoded.m ?? 4 });
    return rng.pick<() => unknown>([
      // Other shapes.
      () => shaped(s.toSpliced(at, 1)),
      () => shaped([...s, rng.pick([0, 1, 2, 5])]),
      () => shaped([rng.pick([0, 1, 3]), ...s]),
      () => shaped(s.length === 0 ? [0] : s.with(at, rng.pick([0, 1, s[at]! + 1, s[at]! * 2, 17, 70]))),
      () => shaped(s.length === 0 ? [1] : s.with(at, 0)),
      () => shaped(s.toReversed()),
      () => shaped(rng.pick([[], [0], [1], [0, 0]])),
      // Other contents.
      () => this.#far(dtype, s),
      () => this.#far(dtype, s),
      () => this.#far(dtype, s),
      () => (dtype.isFloatingPoint ? shaped(s).mul(rng.pick([NaN, Infinity, 1e38, 0])) : this.#far(dtype, s)),
      // Other dtypes.
      () => this.#tensor({ ...plain, d: rng.pick(torch.dtypes).name }),
      () => this.#tensor({ ...plain, d: rng.pick(["float64", "int64", "int32", "bool", "bfloat16"]) }),
      () => this.#tensor({ ...plain, d: rng.pick(["complex64", "uint8", "float16", "int8", "uint64"]) }),
      // Other layouts, devices, strides.
      () => torch.empty(s, { dtype, device: "meta" }),
      () => shaped(s).toSparse(),
      () => this.#values.layout(shaped(s)),
      () => this.#values.layout(shaped(s)),
      () =>
        s.length < 2 ? shaped(s).conj() : shaped(s.toReversed()).permute(s.map((_, i) => s.length - 1 - i)),
      () => shaped([1]).expand(s.length === 0 ? [3] : s),
      () => shaped([1]).expand([...s, 3]),
      () => torch.inferenceMode(() => shaped(s)),
      () => this.#values.tensor(),
    ])();
  }

  /** Values far outside of what an index can be. */
  #far(dtype: Torch.Dtype, shape: number[]): Torch.Tensor {
    const { torch, rng } = { torch: this.#torch, rng: this.#rng };
    const made = torch.zeros(shape, { dtype: torch.int64 });
    const far = rng.pick(farInts);
    if (rng.chance(0.5) || made.numel() === 0) made.fill_(far as never);
    else
      made
        .flatten()
        .narrow(0, rng.below(made.numel()), 1)
        .fill_(far as never);
    return made.to(dtype);
  }
}
