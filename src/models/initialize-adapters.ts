// How adapters begin: as PEFT begins them. All divisions of a model begin alike: what is random is drawn whole, for every adapter,
// and each rank takes its slices.
import {
  isQuantized,
  parametersOf,
  sliceOf,
  type AdapterSpec,
  type BlockSpec,
  type ParameterSpec,
  type ShardSlice,
  type TensorRegion,
} from "../nn/index.ts";
import { empty, float32, float64, fused, linalgQr, noGrad, scope, type Tensor } from "../torch/index.ts";
import { adapterNames } from "./adapter-names.ts";
import { adaptersOf, isOfAdapter } from "./adapters.ts";
import { initializeParameters } from "./decoder.ts";

export interface AdapterInitialization {
  /** Of the whole model. */
  readonly blocks: readonly BlockSpec[];
  readonly init: "default" | "orthogonal";
  readonly slices?: ReadonlyMap<string, ShardSlice> | undefined;
  /** Where a row layer's matrix has some of its columns on each rank. */
  readonly region?: TensorRegion | undefined;
}

/** @param parameters the base's, with their values, and the adapters', which get theirs */
export function initializeAdapters(
  parameters: ReadonlyMap<string, Tensor>,
  { blocks, init, slices = new Map(), region }: AdapterInitialization,
): void {
  const specs = parametersOf(blocks);
  const isAdapter = isOfAdapter(blocks);
  const own = new Map([...specs].filter(([name]) => isAdapter(name)));
  initializeParameters(parameters, own, { slices });
  const adapters = [...adaptersOf(blocks).values()];
  const [like] = parameters.values();
  noGrad(() => {
    for (const { module } of adapters) {
      using _ = scope();
      const names = adapterNames(module);
      if (init === "orthogonal") {
        const [rank, inputs] = specs.get(names.a)!.shape as [number, number];
        const { a, b } = orthogonal(rank, inputs, specs.get(names.b)!.shape[0]!, like!);
        parameters.get(names.a)?.copy_(sliceOf(a, slices.get(names.a)));
        parameters.get(names.b)?.copy_(sliceOf(b, slices.get(names.b)));
      }
      const magnitude = parameters.get(names.magnitude);
      // Its rows are divided among ranks as the matrix's.
      if (magnitude !== undefined) magnitude.copy_(rowNorms({ module }, specs, parameters, region));
    }
  });
}

/** How long the rows of a matrix are, with its adapter's product being zero: [O], or of this rank's rows. */
function rowNorms(
  { module }: Pick<AdapterSpec, "module">,
  specs: ReadonlyMap<string, ParameterSpec>,
  parameters: ReadonlyMap<string, Tensor>,
  region: TensorRegion | undefined,
): Tensor {
  const name = `${module}.weight`;
  const { shape, split, storage } = specs.get(name)!;
  const stored = parameters.get(name)!;
  // Under tensor parallelism a row layer's matrix has some of its columns here.
  const inputs = split === "row" ? shape[1]! / (region?.size ?? 1) : shape[1]!;
  const matrix = isQuantized(storage) ? fused.dequantize(stored, storage.name, inputs, float32) : stored;
  const squares = matrix.square().sum([1]);
  return (split === "row" ? (region?.reduce(squares, "sum") ?? squares) : squares).sqrt();
}

/** Two matrices whose product B A is zero. Source: https://datta0.github.io/posts/rethink-lora-init, as in PEFT. */
function orthogonal(rank: number, inputs: number, outputs: number, like: Tensor): { a: Tensor; b: Tensor } {
  const { device } = like;
  const dtype = like.dtype === float64 ? float64 : float32;
  const normal = (shape: readonly number[]): Tensor => empty(shape, { dtype, device }).normal_();
  const [q] = linalgQr(normal([rank, rank])).map((one) => one.view([rank / 2, 2, rank]));
  const [odd, even] = [q!.select(1, 0), q!.select(1, 1)];
  return {
    a: odd
      .t()
      .mm(normal([rank / 2, inputs]))
      .div_(10),
    b: normal([outputs, rank / 2])
      .mm(even)
      .div_(10),
  };
}
