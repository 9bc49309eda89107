// What the fuzz tests call beside the operators: creation, reading, indexing, autograd, storage, modes, generators.
import type * as Torch from "../../../src/torch/index.ts";
import type { Random } from "./random.ts";
import type { Values } from "./values.ts";

export interface Extra {
  readonly name: string;
  /** Arguments are deliberately of any type. */
  call(values: Values): unknown;
}

const generators: Torch.Generator[] = [];

export function extras(torch: typeof Torch, rng: Random): Extra[] {
  const typed = () =>
    rng.pick([
      new Float32Array(6),
      new Float64Array(4),
      new Uint8Array(16),
      new BigInt64Array(2),
      new Int8Array(0),
      new Uint8Array(new ArrayBuffer(16), 3, 5),
    ]);
  const index = (values: Values) =>
    values.list(
      () =>
        rng.pick<() => unknown>([
          () => values.int(),
          () => null,
          () => "...",
          () => torch.slice(rng.pick([null, 0, -2, 1, 9]), rng.pick([null, 2, -1, 100])),
          () => values.tensor(),
          () => [0, 1],
          () => [],
          () => true,
          () => values.any(),
        ])(),
      4,
    ) as Torch.Index[];
  const make = (name: string, call: (values: Values) => unknown): Extra => ({ name, call });
  return [
    make("fromArray", (v) =>
      torch.fromArray(rng.pick([[[1, 2], [3]], [1, 2], [], [[], []], [1n, 2], v.any()]) as never),
    ),
    make("fromTypedArray", (v) =>
      torch.fromTypedArray(
        rng.chance(0.8) ? typed() : (v.any() as never),
        rng.pick([undefined, v.ofType("int[]")]) as never,
        {
          copy: rng.chance(0.5),
          dtype: rng.pick([undefined, ...torch.dtypes]),
        },
      ),
    ),
    make("full", (v) => torch.full(v.ofType("int[]") as never, v.any() as never)),
    make("index", (v) => v.tensor().index(index(v))),
    make("indexPut_", (v) =>
      v.tensor().indexPut_(index(v), rng.chance(0.5) ? v.tensor() : 1, { accumulate: rng.chance(0.5) }),
    ),
    make("grad", (v) =>
      torch.grad(
        v.list(() => v.tensor()) as never,
        v.list(() => v.tensor()) as never,
        rng.pick([undefined, v.any()]) as never,
      ),
    ),
    make("backward", (v) =>
      v.tensor().backward(rng.pick([undefined, v.any()]) as never, { retainGraph: rng.chance(0.5) }),
    ),
    make("setGrad", (v) => {
      v.tensor().grad = rng.pick([v.tensor(), v.any()]) as never;
    }),
    make("getGrad", (v) => v.tensor().grad),
    make("requiresGrad_", (v) => v.tensor().requiresGrad_(rng.pick([true, false, v.any()]) as never)),
    make("retainGrad", (v) => v.tensor().retainGrad()),
    make("item", (v) => v.tensor().item()),
    make("tolist", (v) => v.tensor().tolist()),
    make("toTypedArray", (v) => v.tensor().toTypedArray({ copy: rng.chance(0.5) })),
    make("writeBytes", (v) => v.tensor().writeBytes(new Uint8Array(rng.below(40)), v.int() as number)),
    make("readBytes", (v) => v.tensor().readBytes(new Uint8Array(rng.below(40)), v.int() as number)),
    make("storage.resize_", (v) => v.tensor().storage.resize_(rng.pick([0, 0, 4, 64, 1e6, 1e15, -1, NaN]))),
    make("storage", (v) => [v.tensor().storage.nbytes, v.tensor().storage.id]),
    make("to", (v) => v.tensor().to(v.any() as never, v.any() as never)),
    make("stride", (v) => v.tensor().stride(v.int() as number)),
    make("size", (v) => v.tensor().size(v.int() as number)),
    make("print", (v) => String(v.tensor())),
    make("version", (v) => v.tensor().version),
    make("dispose", (v) => v.tensor().dispose()),
    make("keep", (v) => torch.keep(v.tensor())),
    make("noGrad", (v) => torch.noGrad(() => v.tensor().mul(2))),
    make("inferenceMode", (v) => torch.inferenceMode(() => v.tensor().add_(1))),
    make("manualSeed", (v) => torch.manualSeed(v.int() as number)),
    make("generator", (v) => {
      if (generators.length < 4) generators.push(new torch.Generator());
      const generator = rng.pick(generators);
      generator.manualSeed(v.int() as number);
      return torch.rand([2], { generator } as never);
    }),
    make("setState", (v) => (generators[0] ?? new torch.Generator()).setState(v.any() as never)),
    make("setRngState", (v) => torch.setRngState(v.tensor())),
    make("device", (v) => torch.device(v.any() as never)),
    make("slice", (v) => torch.slice(v.any() as never, v.any() as never, v.any() as never)),
    make("call", (v) =>
      torch.call(
        rng.pick(["aten::add.Tensor", "aten::mm", "aten::no", "", "aten::to.dtype", v.any() as string]),
        v.any(),
        v.any(),
        v.any(),
      ),
    ),
    make("hasOp", (v) => torch.hasOp(v.any() as never)),
    make("scope", (v) => {
      using s = torch.scope();
      return s.keep(v.tensor().mul(1));
    }),
    make("setMemoryLimit", (v) => {
      torch.setMemoryLimit(v.any() as never);
      torch.setMemoryLimit(256 * 2 ** 20);
    }),
    make("setCacheLimit", (v) => {
      torch.setCacheLimit(v.any() as never);
      torch.setCacheLimit(2 ** 28);
    }),
    make("synchronize", (v) => torch.synchronize(v.any() as never)),
  ];
}
