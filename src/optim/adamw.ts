// AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) and Adam, as torch.optim.AdamW and torch.optim.Adam.
// Holds the moments and the step counts; the arithmetic is in adam-update.ts, and the learning rate comes with each step
// (schedule.ts). It doesn't clip and doesn't own the parameters.
import { float64, int64, noGrad, scope, zeros, type Tensor } from "../torch/index.ts";
import { updateNarrow, updates, type Implementation, type ParameterBatch } from "./adam-update.ts";
import {
  makeMoments,
  momentBytes,
  tensorsOf,
  type Moments,
  type ParameterSize,
  type StateDtype,
} from "./moments.ts";
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
  /** How moments are held. Default: float32. Other than that is for float32 and bfloat16 parameters, and `fused`. */
  readonly stateDtype?: StateDtype;
  /** Round bfloat16 parameters and moments up or down at random, so that the mean is right. Default: to the nearest. */
  readonly stochasticRounding?: boolean;
  /** Of the rounding: with one, a run draws the same numbers again. Default: 0. */
  readonly seed?: number;
  /** Of a slice of a parameter: its first element's number in the whole, so that slices are rounded as the whole would be. */
  readonly offsetOf?: (name: string) => number;
  /** What a parameter's learning rate is multiplied by. Default 1. */
  readonly lrFactor?: ((name: string) => number) | undefined;
}

interface Slot {
  readonly param: Tensor;
  readonly weightDecay: number;
  readonly lrFactor: number;
  readonly moments: Moments;
  /** Of its random numbers, and where they begin. */
  readonly key: number;
  readonly offset: number;
  /** Whether the moments hold values: their memory is written at its first use, not while a run starts. */
  hasMoments: boolean;
  step: number;
  /** `step` as a checkpoint holds it; filled when it is asked for. */
  readonly savedStep: Tensor;
}

export class AdamW implements Optimizer {
  readonly #slots = new Map<string, Slot>();
  readonly #options: Required<Pick<AdamOptions, "lr" | "beta1" | "beta2" | "eps" | "implementation">>;
  readonly #decoupled: boolean;
  readonly #stochastic: boolean;
  /** Whether parameters or moments are rounded to fewer bits in the update itself. */
  readonly #isNarrow: boolean;

  /** Two moments a parameter. The count of steps is too small to count. */
  static stateBytes(parameter: ParameterSize, { stateDtype }: AdamOptions = {}): number {
    return momentBytes(parameter, stateDtype);
  }

  /**
   * Allocates the moments now, in the scope that is open. They become zeros at the first `step` or `state`, so that this
   * memory is not written while a run starts, and not twice in one that resumes.
   * @throws Error for a name given twice, for a parameter that isn't floating point, and for options that don't go together
   */
  constructor(parameters: Iterable<readonly [string, Tensor]>, options: AdamOptions = {}) {
    const { lr = 8e-4, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, implementation = "fused" } = options;
    this.#options = { lr, beta1, beta2, eps, implementation };
    this.#decoupled = options.decoupledWeightDecay ?? true;
    const { stateDtype = "float32", stochasticRounding = false, seed = 0 } = options;
    this.#stochastic = stochasticRounding;
    this.#isNarrow = stateDtype !== "float32" || stochasticRounding;
    if (this.#isNarrow && implementation !== "fused")
      throw new Error(
        `optimizer: ${stateDtype} moments and stochastic rounding need the implementation fused`,
      );
    for (const [key, param] of parameters) {
      if (this.#slots.has(key)) throw new Error(`optimizer: parameter ${key} is given twice`);
      const dtype = param.dtype;
      if (!dtype.isFloatingPoint)
        throw new Error(`optimizer: parameter ${key} is ${dtype}, expected floating point`);
      if (this.#isNarrow && dtype === float64)
        throw new Error(`optimizer: parameter ${key} is ${dtype}, expected float32 or bfloat16`);
      this.#slots.set(key, {
        param,
        weightDecay: (options.decays?.(key) ?? true) ? (options.weightDecay ?? 0.1) : 0,
        lrFactor: options.lrFactor?.(key) ?? 1,
        moments: makeMoments(param, stateDtype),
        key: hashOf(`${seed} ${key}`),
        offset: options.offsetOf?.(key) ?? 0,
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
      for (const [{ step, weightDecay, lrFactor }, batch] of this.#batches(gradients)) {
        const own = { step, lr: lr * lrFactor, weightDecay };
        const numbers = { ...own, beta1, beta2, eps, decoupled: this.#decoupled, gradScale };
        if (this.#isNarrow) updateNarrow(batch, numbers, this.#stochastic);
        else updates[implementation](batch, numbers);
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
      const { expAvg, expAvgSq, scales } = slot.moments;
      const { step, weightDecay, lrFactor, param } = slot;
      const key = `${step} ${weightDecay} ${lrFactor} ${param.device} ${scales !== undefined}`;
      let entry = found.get(key);
      if (!entry) found.set(key, (entry = [slot, emptyBatch()]));
      const batch = entry[1];
      batch.params.push(slot.param);
      batch.gradients.push(gradient);
      batch.expAvgs.push(expAvg);
      batch.expAvgSqs.push(expAvgSq);
      batch.keys.push(slot.key);
      batch.offsets.push(slot.offset);
      if (scales === undefined) continue;
      batch.scales.push(scales.expAvg);
      batch.sqScales.push(scales.expAvgSq);
    }
    return found.values();
  }

  zeroGrad(): void {
    for (const { param } of this.#slots.values()) param.grad = undefined;
  }

  /** Parts: `exp_avg`, `exp_avg_sq`, of codes their scales, and `step` (an int64 scalar). */
  state(): OptimizerState[] {
    for (const slot of this.#slots.values()) {
      noGrad(() => zeroMoments(slot));
      slot.savedStep.fill_(slot.step);
    }
    return this.#states();
  }

  #states(): OptimizerState[] {
    return [...this.#slots].flatMap(([parameter, { moments, savedStep }]) => {
      const { expAvg, expAvgSq, scales } = moments;
      const scale = (part: string, tensor: Tensor): OptimizerState => ({
        parameter,
        part,
        tensor,
        isElementwise: false,
        isBlockwise: true,
      });
      return [
        { parameter, part: "exp_avg", tensor: expAvg, isElementwise: true },
        { parameter, part: "exp_avg_sq", tensor: expAvgSq, isElementwise: true },
        ...(scales === undefined
          ? []
          : [scale("exp_avg_scale", scales.expAvg), scale("exp_avg_sq_scale", scales.expAvgSq)]),
        { parameter, part: "step", tensor: savedStep, isElementwise: false },
      ];
    });
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
  for (const tensor of tensorsOf(slot.moments)) tensor.zero_();
  slot.hasMoments = true;
}

const emptyBatch = (): ParameterBatch => ({
  params: [],
  gradients: [],
  expAvgs: [],
  expAvgSqs: [],
  scales: [],
  sqScales: [],
  keys: [],
  offsets: [],
});

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
