// One block's parameters divided among ranks: each parameter's rows (dimension 0) in equal chunks, the last ones padded, and
// a rank's chunks of all parameters one after the other in one flat tensor, so that one collective moves a block. This file
// holds memory and layout, and starts and ends collectives; when they run is fsdp.ts's. With CPU offload the flat tensor and
// its gradient lie in main memory and are copied to and from the device; without a group nothing is divided, only offloaded,
// or cast.
// Source: PyTorch FSDP2 (torch.distributed.fsdp.fully_shard), whose layout of shards this is.
import { allGatherIntoTensor, type ProcessGroup, reduceScatterTensor, type Work } from "../../comm/index.ts";
import { numel, type BlockSpec, type ShardSlice } from "../../nn/index.ts";
import {
  call,
  device as deviceOf,
  empty,
  noGrad,
  scope,
  zeros,
  type Device,
  type Dtype,
  type Tensor,
  outlive,
} from "../../torch/index.ts";
import { inMainMemory } from "./main-memory.ts";

export interface ShardedBlockOptions {
  /** The ranks among which it is divided; none: this rank has all rows. */
  readonly group: ProcessGroup | undefined;
  /** Dtype of the shards and of their gradients. */
  readonly dtype: Dtype;
  /** Dtype of the gathered parameters. */
  readonly computeDtype: Dtype;
  /** Dtype in which gradients are reduced. */
  readonly reduceDtype: Dtype;
  /** Device of the gathered parameters, and where gradients are reduced. */
  readonly device: Device | string;
  /** Whether the shards and their gradients lie in main memory, page-locked where `device` isn't the CPU. */
  readonly offload?: boolean;
  /** False: frozen, without gradients. Default true. */
  readonly trainable?: boolean;
}

interface Part {
  readonly name: string;
  readonly shape: readonly number[];
  /** Elements of one rank's chunk, padding included. */
  readonly chunk: number;
  /** Where the chunk begins in a rank's flat tensor. */
  readonly offset: number;
  readonly slice: ShardSlice;
}

/** Chunks of ceil(rows / ranks) rows; the last ranks may have fewer, or none. */
export function sliceOfRank(rows: number, rank: number, ranks: number): ShardSlice {
  const chunk = Math.ceil(rows / ranks);
  const start = Math.min(rows, rank * chunk);
  return { dim: 0, start, length: Math.min(rows, start + chunk) - start, of: rows };
}

export class ShardedBlock {
  /** Full parameters: their storage is empty unless gathered. */
  readonly full = new Map<string, Tensor>();
  /** This rank's slices, without the padding. */
  readonly parameters = new Map<string, Tensor>();
  readonly slices = new Map<string, ShardSlice>();
  readonly #options: ShardedBlockOptions;
  readonly #parts: readonly Part[];
  readonly #size: number;
  /** [S]: this rank's chunks. */
  readonly #shard: Tensor;
  /** [ranks * S]: each parameter's chunks of all ranks together, so that a parameter's rows are contiguous. */
  readonly #whole: Tensor;
  /** Each parameter's place in it: [ranks, chunk]. */
  readonly #places: readonly Tensor[];
  readonly #ranks: number;
  /** Whether the shard is the full parameter, and is computed with as it is. */
  readonly #isAlwaysWhole: boolean;
  #isWhole = false;
  #gathering: { work: Work<unknown> | undefined; gathered: Tensor | undefined } | undefined;
  #reducing: { work: Work<unknown> | undefined; output: Tensor } | undefined;
  #gradient: Tensor | undefined;
  /** [ranks, S]: whole gradients of this rank's micro-batches so far, where they are reduced once. */
  #held: Tensor | undefined;

  constructor(spec: BlockSpec, options: ShardedBlockOptions) {
    const { dtype, computeDtype, device, offload = false, trainable = true } = options;
    const { rank, size: ranks } = options.group ?? { rank: 0, size: 1 };
    this.#options = options;
    this.#ranks = ranks;
    let size = 0;
    this.#parts = [...spec.parameters.values()].map(({ name, storage, shape: numbers }) => {
      const shape = storage?.storedShape(numbers) ?? numbers;
      const chunk = Math.ceil(shape[0]! / ranks) * numel(shape.slice(1));
      const part = { name, shape, chunk, offset: size, slice: sliceOfRank(shape[0]!, rank, ranks) };
      size += chunk;
      return part;
    });
    this.#size = size;
    const { type } = deviceOf(device);
    const pinMemory = type !== "cpu" && type !== "meta";
    this.#shard = offload
      ? inMainMemory(device, (main) => zeros([size], { dtype, device: main, pinMemory }))
      : zeros([size], { dtype, device });
    this.#isAlwaysWhole = options.group === undefined && !offload && dtype === computeDtype;
    this.#isWhole = this.#isAlwaysWhole;
    this.#whole = this.#isAlwaysWhole ? this.#shard : empty([ranks * size], { dtype: computeDtype, device });
    this.#places = this.#parts.map(({ chunk, offset }) =>
      this.#whole.narrow(0, ranks * offset, ranks * chunk).view([ranks, chunk]),
    );
    for (const { name, shape, offset, slice } of this.#parts) {
      this.slices.set(name, slice);
      this.parameters.set(name, this.#ownRows(this.#shard, { shape, offset, slice }));
      // `.data`: gathering again must not bump the version of what a graph has saved.
      const whole = this.#whole.narrow(0, ranks * offset, numel(shape)).view(shape);
      this.full.set(name, whole.data.requiresGrad_(trainable));
    }
    // Last: an empty storage has no views.
    if (!this.#isAlwaysWhole) this.#whole.storage.resize_(0);
  }

  #ownRows(flat: Tensor, { shape, offset, slice }: Pick<Part, "shape" | "offset" | "slice">): Tensor {
    const rest = shape.slice(1);
    return flat.narrow(0, offset, slice.length * numel(rest)).view([slice.length, ...rest]);
  }

  /** Starts the all-gather; does nothing if the parameters are gathered or it is in flight. */
  startGather(): void {
    if (this.#isWhole || this.#gathering !== undefined) return;
    using temporaries = scope();
    void temporaries;
    const { group, computeDtype, device } = this.#options;
    const own = this.#shardToSend();
    if (group === undefined) {
      this.#makeRoom();
      noGrad(() => this.#whole.copy_(own, true));
      this.#gathering = { work: undefined, gathered: undefined };
      return;
    }
    if (this.#parts.length === 1) {
      // The chunks in the order of ranks are the parameter already.
      this.#makeRoom();
      const work = allGatherIntoTensor(this.#whole, own, { group, async: true });
      this.#gathering = { work, gathered: undefined };
      return;
    }
    const gathered = outlive(empty([group.size * this.#size], { dtype: computeDtype, device }));
    this.#gathering = { work: allGatherIntoTensor(gathered, own, { group, async: true }), gathered };
  }

  /** The shard on the device, in the dtype of the gathered parameters. Cast there, since the device is quicker at it. */
  #shardToSend(): Tensor {
    const { computeDtype, device, offload } = this.#options;
    // From page-locked memory; what is in flight then is over before the optimizer comes (see Fsdp.finishGradients).
    const here = offload ? this.#shard.to({ device, copy: true, nonBlocking: true }) : this.#shard;
    return here.to(computeDtype);
  }

  /** The full parameters are gathered when it returns. */
  gather(): void {
    this.startGather();
    if (this.#gathering === undefined) return;
    const { work, gathered } = this.#gathering;
    this.#gathering = undefined;
    work?.wait();
    this.#isWhole = true;
    if (gathered === undefined) return;
    using temporaries = scope();
    void temporaries;
    this.#makeRoom();
    const sizes = this.#parts.map(({ chunk }) => chunk);
    noGrad(() => {
      const byRank = gathered.view([this.#ranks, this.#size]);
      call<void>("aten::split_with_sizes_copy.out", byRank, sizes, 1, this.#places);
    });
    gathered.dispose();
  }

  #makeRoom(): void {
    this.#whole.storage.resize_(this.#ranks * this.#size * this.#options.computeDtype.itemSize);
  }

  /** Frees the full parameters. Graphs that saved them see them again after the next gather. */
  free(): void {
    if (this.#gathering !== undefined) this.gather();
    if (!this.#isWhole || this.#isAlwaysWhole) return;
    this.#whole.storage.resize_(0);
    this.#isWhole = false;
  }

  /**
   * Takes the gradients from `.grad` of the full parameters and starts their reduction over the ranks.
   * @param holds add them up whole in place of that: a later micro-batch's call reduces them, too
   */
  startReduce(holds = false): void {
    this.finishReduce();
    const { group, reduceDtype, device, trainable = true } = this.#options;
    if (!trainable) return;
    using temporaries = scope();
    void temporaries;
    const gradients: Tensor[] = [];
    for (const [name, whole] of this.full) {
      const found = whole.grad;
      if (found === undefined) throw new Error(`${name} has no gradient to reduce`);
      gradients.push(found);
      whole.grad = undefined;
    }
    if (gradients.length === 0) return;
    const [first] = gradients as [Tensor, ...Tensor[]];
    const isInPlace =
      gradients.length === 1 &&
      first.dtype === reduceDtype &&
      first.shape[0]! % this.#ranks === 0 &&
      first.isContiguous();
    let input = first;
    if (!isInPlace) {
      input = empty([this.#ranks, this.#size], { dtype: reduceDtype, device });
      noGrad(() => call("aten::_chunk_cat.out", gradients, 0, this.#ranks, input));
    }
    if (group !== undefined && (holds || this.#held !== undefined)) {
      if (this.#held === undefined) {
        this.#held = outlive(input.view([this.#ranks, this.#size]));
        return;
      }
      noGrad(() => this.#held!.add_(input.view([this.#ranks, this.#size])));
      if (holds) return;
      input = this.#held;
    }
    if (group === undefined) {
      this.#reducing = { work: undefined, output: outlive(input.view([-1])) };
      return;
    }
    const output = outlive(empty([this.#size], { dtype: reduceDtype, device }));
    this.#reducing = { work: reduceScatterTensor(output, input, { group, async: true }), output };
    this.#held?.dispose();
    this.#held = undefined;
  }

  /** Waits for the reduction and adds its result to this rank's gradient. */
  finishReduce(): void {
    if (this.#reducing === undefined) return;
    const { work, output } = this.#reducing;
    this.#reducing = undefined;
    work?.wait();
    const { dtype, device, offload = false } = this.#options;
    const before = this.#gradient;
    if (before === undefined && output.dtype === dtype && !offload) {
      this.#gradient = output;
      return;
    }
    using temporaries = scope();
    void temporaries;
    noGrad(() => {
      // A first gradient comes to main memory while the device computes on; what is added to has to be there.
      const nonBlocking = before === undefined;
      const typed = offload ? output.to(dtype) : output;
      const own = offload
        ? inMainMemory(device, (main) => typed.to({ device: main, copy: true, nonBlocking }))
        : output;
      if (before === undefined) this.#gradient = outlive(own.to(dtype));
      else before.add_(own);
    });
    output.dispose();
  }

  /** [S]: this rank's accumulated gradients, padding included. */
  get gradient(): Tensor | undefined {
    return this.#gradient;
  }

  /** Sets `.grad` of `parameters` to their part of the gradient. */
  giveGradients(): void {
    const flat = this.#gradient;
    if (flat === undefined) return;
    using temporaries = scope();
    void temporaries;
    for (const part of this.#parts) this.parameters.get(part.name)!.grad = this.#ownRows(flat, part);
    flat.dispose();
    this.#gradient = undefined;
  }
}
