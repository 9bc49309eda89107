// AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) and Adam, as torch.optim.AdamW and torch.optim.Adam.
// Holds the moments and the step counts; the arithmetic is in adam-update.ts, and the learning rate comes with each step
// (schedule.ts). It doesn't clip and doesn't own the parameters.
import { emptyLike, int64, noGrad, scope, zeros, type Dtype, type Tensor } from "../torch/index.ts";
import { momentDtype, updates, type Implementation, type ParameterBatch } from "./adam-update.ts";
import { matchStates, type Optimizer, type OptimizerState, type StepOptions } from "./optimizer.ts";

export interface AdamOptions {
  /** Learning rate of a step that gives none. */
  readonly lr?: number;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
  readonly weightDecay?: number;
  /** Decay the weights themselves (default, AdamW), or add the decay to the gradient (Adam). */
  readonly decoupledWeightDecay?: boolean;
  readonly implementation?: Implementation;
  /** Whether a parameter takes weight decay. Default: all do, as in torchtitan. */
  readonly decays?: (name: string) => boolean;
}

interface Slot {
  readonly param: Tensor;
  readonly weightDecay: number;
  readonly expAvg: Tensor;
  readonly expAvgSq: Tensor;
  /** Whether the moments hold values: their memory is written at its first use, not while a run starts. */
  hasMoments: boolean;
  step: number;
  /** `step` as a checkpoint holds it; filled when it is asked for. */
  readonly savedStep: Tensor;
}

export class AdamW implements Optimizer {
  readonly #slots = new Map<string, Slot>();
  readonly #options: Required<Omit<AdamOptions, "decays" | "weightDecay" | "decoupledWeightDecay">>;
  readonly #decoupled: boolean;

  /** Two moments a parameter. The count of steps is too small to count. */
  static stateBytes({ shape, dtype }: { shape: readonly number[]; dtype: Dtype }): number {
    return 2 * shape.reduce((a, b) => a * b, 1) * momentDtype(dtype).itemSize;
  }

  /**
   * Allocates the moments now, in the scope that is open. They become zeros at the first `step` or `state`, so that this
   * memory is not written while a run starts, and not twice in one that resumes.
   * @throws Error for a name given twice, and for a parameter that isn't floating point
   */
  constructor(parameters: Iterable<readonly [string, Tensor]>, options: AdamOptions = {}) {
    const { lr = 8e-4, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, implementation = "fused" } = options;
    this.#options = { lr, beta1, beta2, eps, implementation };
    this.#decoupled = options.decoupledWeightDecay ?? true;
    for (const [key, param] of parameters) {
      if (this.#slots.has(key)) throw new Error(`optimizer: parameter ${key} is given twice`);
      const dtype = param.dtype;
      if (!dtype.isFloatingPoint)
        throw new Error(`optimizer: parameter ${key} is ${dtype}, expected floating point`);
      this.#slots.set(key, {
        param,
        weightDecay: (options.decays?.(key) ?? true) ? (options.weightDecay ?? 0.1) : 0,
        expAvg: emptyLike(param, { dtype: momentDtype(dtype) }),
        expAvgSq: emptyLike(param, { dtype: momentDtype(dtype) }),
        hasMoments: false,
        step: 0,
        savedStep: zeros([], { dtype: int64 }),
      });
    }
  }

  step(lr = this.#options.lr, { gradients, gradScale = 1 }: StepOptions = {}): void {
    using _ = scope();
    const { beta1, beta2, eps, implementation } = this.#options;
    noGrad(() => {
      for (const [{ step, weightDecay }, batch] of this.#batches(gradients)) {
        const numbers = { step, lr, beta1, beta2, eps, weightDecay, decoupled: this.#decoupled, gradScale };
        updates[implementation](batch, numbers);
      }
    });
  }

  /** Counts the step, and groups the parameters that take part by what must be equal in one call. */
  #batches(gradients: ReadonlyMap<string, Tensor> | undefined): Iterable<[Slot, ParameterBatch]> {
    const found = new Map<string, [Slot, ParameterBatch]>();
    for (const [name, slot] of this.#slots) {
      const gradient = gradients ? gradients.get(name) : slot.param.grad;
      if (gradient === undefined) continue;
      zeroMoments(slot);
      slot.step++;
      const key = `${slot.step} ${slot.weightDecay} ${slot.param.device}`;
      let entry = found.get(key);
      if (!entry) found.set(key, (entry = [slot, { params: [], gradients: [], expAvgs: [], expAvgSqs: [] }]));
      const batch = entry[1];
      batch.params.push(slot.param);
      batch.gradients.push(gradient);
      batch.expAvgs.push(slot.expAvg);
      batch.expAvgSqs.push(slot.expAvgSq);
    }
    return found.values();
  }

  zeroGrad(): void {
    for (const { param } of this.#slots.values()) param.grad = undefined;
  }

  /** Parts: `exp_avg`, `exp_avg_sq` and `step` (an int64 scalar). */
  state(): OptimizerState[] {
    for (const slot of this.#slots.values()) {
      noGrad(() => zeroMoments(slot));
      slot.savedStep.fill_(slot.step);
    }
    return this.#states();
  }

  #states(): OptimizerState[] {
    return [...this.#slots].flatMap(([parameter, { expAvg, expAvgSq, savedStep }]) => [
      { parameter, part: "exp_avg", tensor: expAvg, isElementwise: true },
      { parameter, part: "exp_avg_sq", tensor: expAvgSq, isElementwise: true },
      { parameter, part: "step", tensor: savedStep, isElementwise: false },
    ]);
  }

  loadState(state: readonly OptimizerState[]): void {
    const pairs = matchStates(this.#states(), state);
    noGrad(() => {
      for (const [own, given] of pairs) if (given !== own) own.copy_(given);
    });
    for (const slot of this.#slots.values()) {
      slot.step = slot.savedStep.item();
      slot.hasMoments = true;
    }
  }

  dispose(): void {
    for (const { tensor } of this.#states()) tensor.dispose();
    this.#slots.clear();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

export class Adam extends AdamW {
  constructor(parameters: Iterable<readonly [string, Tensor]>, options: AdamOptions = {}) {
    super(parameters, { ...options, decoupledWeightDecay: false });
  }
}

/** The first use of moments that nothing was read into. */
function zeroMoments(slot: Slot): void {
  if (slot.hasMoments) return;
  slot.expAvg.zero_();
  slot.expAvgSq.zero_();
  slot.hasMoments = true;
}
