// Fully sharded data parallelism (FSDP), and with a replicate group hybrid sharding (HSDP): each rank keeps a slice of every
// parameter, gradient and moment along dimension 0. A block's parameters are gathered while it computes; the next block's are
// prefetched, in forward and backward, and a block's gradients are reduced while the block before it computes.
//
// Accumulation: gradients are reduce-scattered after every micro-batch, as FSDP2 does by default, so that no rank ever holds
// full gradients; with `reduceOnce` after the last one, and till then each rank adds up its own, whole (FSDP2's
// set_requires_gradient_sync). The all-reduce over replicas waits for the last micro-batch. With reshardAfterForward "never"
// parameters stay gathered until then, too.
// CPU offload: shards, gradients and moments are in main memory, where the optimizer updates them, and a block is copied to the
// device when it is gathered. It also works without sharding, in one process or in replicas.
// Source: PyTorch FSDP2 (torch.distributed.fsdp.fully_shard); Zhao et al. 2023, https://arxiv.org/abs/2304.11277.
import { allReduce, type ProcessGroup, type Work } from "../../comm/index.ts";
import {
  isQuantized,
  mapParameters,
  type BlockSpec,
  type ParameterSpec,
  type ShardSlice,
} from "../../nn/index.ts";
import { gradientsOf, sumOfSquares } from "../../optim/index.ts";
import {
  float64,
  fromArray,
  noGrad,
  scope,
  synchronize,
  type Device,
  type Dtype,
  type Tensor,
  outlive,
} from "../../torch/index.ts";
import type { ExpertExchange } from "../experts/expert-exchange.ts";
import { ShardedBlock } from "./sharded-block.ts";
import {
  chosen,
  namesToSave,
  trainedAndSaved,
  type Pass,
  type ShardOwnership,
  type Strategy,
  type StrategyOptions,
} from "../strategy.ts";

export interface FsdpOptions extends StrategyOptions {
  /** Ranks that hold the same shards (HSDP). */
  readonly replicate?: ProcessGroup | undefined;
  /** Shards and their gradients in main memory (CPU offload), copied to `device` block by block, also where that is the CPU. */
  readonly offload?: boolean;
  /**
   * Where experts are divided among ranks: the blocks that are given have those of this rank alone, `group` are the ranks
   * that have the same ones, among which they are divided by rows (undefined: this rank alone).
   */
  readonly experts?:
    | { readonly exchange: ExpertExchange; readonly group: ProcessGroup | undefined }
    | undefined;
  /** Dtype of the gathered parameters, and so of activations. Default: the parameters' own. */
  readonly computeDtype?: Dtype | undefined;
  /** Whether gathered parameters are freed after forward; `default`: all but the last layer's, which backward needs first. */
  readonly reshardAfterForward?: "default" | "always" | "never";
  /** Gradients are reduced once a step, and held whole until then. */
  readonly reduceOnce?: boolean;
}

export class Fsdp implements Strategy {
  readonly full: ReadonlyMap<string, Tensor>;
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly trained: ReadonlyMap<string, Tensor>;
  readonly saved: ReadonlyMap<string, Tensor>;
  readonly slices: ReadonlyMap<string, ShardSlice>;
  readonly ownership: ShardOwnership;
  readonly exchange: ExpertExchange | undefined;
  readonly #specs: readonly BlockSpec[];
  /** Of each block its parameters, and by themselves its experts' where those are other ranks' rows. */
  readonly #blocks: readonly (readonly ShardedBlock[])[];
  /** What each block computes with: its own parameters, and those that it shares. */
  readonly #needs: readonly (readonly ShardedBlock[])[];
  /** The last block of backward that needs a block's parameters. */
  readonly #lastUse = new Map<ShardedBlock, number>();
  readonly #group: ProcessGroup | undefined;
  readonly #replicate: ProcessGroup | undefined;
  readonly #reduceDtype: Dtype;
  readonly #device: Device | string;
  readonly #offload: boolean;
  readonly #reshard: "default" | "always" | "never";
  readonly #reduceOnce: boolean;
  #pass: Pass = { backward: false, last: false };
  /** The block whose gradients are being reduced, and whether this is the last micro-batch. */
  #reducing: { block: readonly ShardedBlock[]; last: boolean } | undefined;
  #replicas: { work: Work<unknown>; sent: Tensor; gradient: Tensor; block: ShardedBlock }[] = [];
  #pinned = false;

  /** @param group the ranks among which parameters are divided; none: this rank has all rows, for `offload` or `experts` */
  constructor(specs: readonly BlockSpec[], group: ProcessGroup | undefined, options: FsdpOptions) {
    const { dtype, device, offload = false, computeDtype = dtype, reduceDtype = dtype } = options;
    this.#device = device;
    this.#offload = offload;
    this.#specs = specs;
    this.#group = group;
    this.#replicate = options.replicate;
    this.#reduceDtype = reduceDtype;
    this.#reshard = options.reshardAfterForward ?? "default";
    this.#reduceOnce = options.reduceOnce ?? false;
    const { experts } = options;
    this.exchange = experts?.exchange;
    const shared = { dtype, computeDtype, reduceDtype, device, offload };
    this.#blocks = specs.map((spec) =>
      partsOf(spec, experts !== undefined).map(
        (part) =>
          new ShardedBlock(part.spec, {
            ...shared,
            group: part.ofExperts ? experts!.group : group,
            dtype: part.storage?.dtype ?? dtype,
            // Codes are gathered as they are.
            computeDtype: isQuantized(part.storage) ? part.storage.dtype : computeDtype,
            trainable: part.trainable,
          }),
      ),
    );
    const all = this.#blocks.flat();
    const ownerOf = (name: string): ShardedBlock => all.find((block) => block.full.has(name))!;
    this.#needs = specs.map((spec, i) => [
      ...new Set([...this.#blocks[i]!, ...(spec.tied ?? []).map(({ tiedTo }) => ownerOf(tiedTo!))]),
    ]);
    for (const [i, needed] of this.#needs.entries()) for (const block of needed) this.#lastUse.set(block, i);
    this.full = new Map(all.flatMap((block) => [...block.full]));
    this.parameters = new Map(all.flatMap((block) => [...block.parameters]));
    const isDivided = group !== undefined || experts !== undefined;
    this.slices = new Map(isDivided ? all.flatMap((block) => [...block.slices]) : []);
    ({ trained: this.trained, saved: this.saved } = trainedAndSaved(specs, this.parameters));
    this.ownership = {
      index: group?.rank ?? 0,
      count: group?.size ?? 1,
      replica: options.replicate?.rank ?? 0,
      saved: namesToSave(specs, this.slices),
    };
  }

  begin(pass: Pass): void {
    this.#pass = pass;
  }

  beforeForward(block: number): void {
    for (const one of this.#needs[block]!) one.gather();
    const isLast = block === this.#blocks.length - 1;
    if (!isLast) for (const one of this.#needs[block + 1]!) one.startGather();
    else if (this.#pass.backward) this.#prefetchForBackward(block - 1);
  }

  afterForward(block: number): void {
    const { backward, last } = this.#pass;
    // The layer before the head comes first in backward.
    const keeps =
      backward &&
      (this.#reshard === "never" || (this.#reshard === "default" && block === this.#blocks.length - 2));
    for (const one of this.#needs[block]!) {
      if (this.#lastUse.get(one)! > block) continue;
      // Backward doesn't need it: it is only kept for the next micro-batch.
      if (!keeps || (last && !this.#needsValues(block))) this.#free(one);
    }
  }

  beforeBackward(block: number): void {
    if (!this.#needsValues(block)) return;
    for (const one of this.#blocks[block]!) one.gather();
    this.#prefetchForBackward(block - 1);
  }

  afterBackward(block: number): void {
    const keeps = this.#reshard === "never" && !this.#pass.last;
    if (!keeps) for (const one of this.#needs[block]!) this.#free(one);
    this.#settle();
    const holds = this.#reduceOnce && !this.#pass.last;
    for (const one of this.#blocks[block]!) one.startReduce(holds);
    this.#reducing = { block: this.#blocks[block]!, last: this.#pass.last };
  }

  #needsValues(block: number): boolean {
    const { valuesInBackward = true, passesGradient = true } = this.#specs[block]!;
    return valuesInBackward && passesGradient;
  }

  #prefetchForBackward(block: number): void {
    if (block >= 0 && this.#needsValues(block)) for (const one of this.#blocks[block]!) one.startGather();
  }

  #free(block: ShardedBlock): void {
    if (!this.#pinned) block.free();
  }

  /** Waits for the reduction in flight. Only one is at a time, so that at most one block has full gradients. */
  #settle(): void {
    if (this.#reducing === undefined) return;
    const { block, last } = this.#reducing;
    this.#reducing = undefined;
    const handsOver = last && this.#pass.onGradients !== undefined;
    if (handsOver) this.#settleReplicas();
    for (const one of block) {
      one.finishReduce();
      const { gradient } = one;
      if (handsOver && this.#replicate === undefined) this.#handOver(one);
      if (!last || this.#replicate === undefined || gradient === undefined) continue;
      const isThere = gradient.dtype === this.#reduceDtype && !this.#offload;
      const to = { dtype: this.#reduceDtype, device: this.#device, copy: true };
      const sent = isThere ? gradient : noGrad(() => outlive(gradient.to(to)));
      const work = allReduce(sent, { group: this.#replicate, async: true });
      this.#replicas.push({ work, sent, gradient, block: one });
    }
  }

  #settleReplicas(): void {
    for (const { work, sent, gradient, block } of this.#replicas) {
      work.wait();
      if (sent !== gradient) {
        noGrad(() => gradient.copy_(sent));
        sent.dispose();
      }
      if (this.#pass.onGradients !== undefined) this.#handOver(block);
    }
    this.#replicas = [];
  }

  /** A block's gradients, complete while others' are still computed. */
  #handOver(block: ShardedBlock): void {
    const names = [...block.parameters.keys()].filter((name) => this.trained.has(name));
    if (names.length === 0) return;
    block.giveGradients();
    // Copies to main memory are over before the optimizer reads them.
    if (this.#offload) synchronize(this.#device);
    this.#pass.onGradients!(names);
  }

  finishGradients(): void {
    this.#settle();
    this.#settleReplicas();
    for (const block of this.#blocks.flat()) {
      block.giveGradients();
      // A prefetched block that was not used would hold old values after the optimizer's step.
      this.#free(block);
    }
    // What is on its way from and to main memory: the optimizer reads gradients and changes shards there.
    if (this.#offload) synchronize(this.#device);
  }

  gradNorm(names?: readonly string[]): number {
    using _ = scope();
    const own = sumOfSquares(gradientsOf(chosen(this.trained, names)));
    if (this.#group === undefined) return Math.sqrt(own);
    const squares = fromArray([own], { dtype: float64 });
    return Math.sqrt(allReduce(squares, { group: this.#group }).item());
  }

  gatherAll(): void {
    this.#pinned = true;
    for (const block of this.#blocks.flat()) block.gather();
  }

  release(): void {
    this.#pinned = false;
    for (const block of this.#blocks.flat()) block.free();
  }
}

/** The parameters of a block that are sharded, gathered and reduced together. */
interface Part {
  readonly spec: BlockSpec;
  readonly ofExperts: boolean;
  readonly trainable: boolean;
  readonly storage: ParameterSpec["storage"];
}

/** @param expertsApart whether experts are sharded among other ranks than the rest */
function partsOf(block: BlockSpec, expertsApart: boolean): Part[] {
  const parts: Omit<Part, "spec">[] = [];
  const partOf = (spec: ParameterSpec): Omit<Part, "spec"> => {
    const own = {
      ofExperts: expertsApart && spec.expert !== undefined,
      trainable: spec.trainable,
      storage: spec.storage,
    };
    const isSame = (one: Omit<Part, "spec">): boolean =>
      one.ofExperts === own.ofExperts &&
      one.trainable === own.trainable &&
      one.storage?.name === own.storage?.name;
    return parts.find(isSame) ?? (parts.push(own), own);
  };
  const partOfName = new Map([...block.parameters.values()].map((spec) => [spec.name, partOf(spec)]));
  return parts.map((part) => ({
    ...part,
    spec: mapParameters(block, (spec) => (partOfName.get(spec.name) === part ? spec : undefined)),
  }));
}
