// AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) and Adam over named parameters, as
// torch.optim.AdamW and torch.optim.Adam. Holds the moments and the step counts; the arithmetic is in update.ts, the
// learning rate comes with each step (schedule.ts). It doesn't clip and doesn't own the parameters.
import { emptyLike, int64, noGrad, scope, zeros, type Tensor } from "../torch/index.ts";
import { momentDtype, updates, type Batch, type Implementation } from "./update.ts";

/** The keys of the configuration's `optimizer` section. */
export interface AdamOptions {
  /** AdamW decays the weights themselves (default); Adam adds the decay to the gradient. */
  readonly name?: "AdamW" | "Adam";
  /** Learning rate of a step that gives none. */
  readonly lr?: number;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
  readonly weight_decay?: number;
  readonly implementation?: Implementation;
  /** Parameters that take no weight decay. Default: none; every parameter decays, as in torchtitan. */
  readonly withoutDecay?: (name: string, param: Tensor) => boolean;
}

export interface StepOptions {
  /** Gradients by parameter name. Default: each parameter's `.grad`. Without one a parameter stays as it is. */
  readonly gradients?: ReadonlyMap<string, Tensor>;
  /** Gradients count this many times: `clipCoefficient(norm, maxNorm)` clips without a pass over them. */
  readonly gradScale?: number;
}

interface Slot {
  readonly param: Tensor;
  readonly weightDecay: number;
  readonly expAvg: Tensor;
  readonly expAvgSq: Tensor;
  /** Whether the moments hold values: their memory is written when it is first used, not while a run starts. */
  hasMoments: boolean;
  step: number;
  /** `step` as a checkpoint holds it; filled when it is asked for. */
  readonly savedStep: Tensor;
}

export class AdamW {
  readonly #slots = new Map<string, Slot>();
  readonly #options: Required<Omit<AdamOptions, "withoutDecay" | "weight_decay">>;

  /**
   * Makes the moments at once, in the scope that is open now: construct it where the parameters live. They become zeros
   * at the first `step` or `state`: so much memory is not written while a run starts, and not twice in one that resumes.
   * @throws Error for a name given twice, and for a parameter that isn't floating point
   */
  constructor(params: Iterable<readonly [string, Tensor]>, options: AdamOptions = {}) {
    const { name = "AdamW", lr = 8e-4, beta1 = 0.9, beta2 = 0.95, eps = 1e-8 } = options;
    this.#options = { name, lr, beta1, beta2, eps, implementation: options.implementation ?? "fused" };
    for (const [key, param] of params) {
      if (this.#slots.has(key)) throw new Error(`${name}: parameter ${key} is given twice`);
      const dtype = param.dtype;
      if (!dtype.isFloatingPoint)
        throw new Error(`${name}: parameter ${key} is ${dtype}, expected floating point`);
      this.#slots.set(key, {
        param,
        weightDecay: options.withoutDecay?.(key, param) ? 0 : (options.weight_decay ?? 0.1),
        expAvg: emptyLike(param, { dtype: momentDtype(dtype) }),
        expAvgSq: emptyLike(param, { dtype: momentDtype(dtype) }),
        hasMoments: false,
        step: 0,
        savedStep: zeros([], { dtype: int64 }),
      });
    }
  }

  /** Changes the parameters by their gradients. */
  step(lr = this.#options.lr, { gradients, gradScale = 1 }: StepOptions = {}): void {
    using temporaries = scope();
    void temporaries;
    const { name, beta1, beta2, eps, implementation } = this.#options;
    noGrad(() => {
      for (const [{ step, weightDecay }, batch] of this.#batches(gradients)) {
        const numbers = { step, lr, beta1, beta2, eps, weightDecay, decoupled: name === "AdamW", gradScale };
        updates[implementation](batch, numbers);
      }
    });
  }

  /** Counts the step, and sorts the parameters that take part by what must be equal in one call. */
  #batches(gradients: ReadonlyMap<string, Tensor> | undefined): Iterable<[Slot, Batch]> {
    const found = new Map<string, [Slot, Batch]>();
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

  /** Drops the gradients (PyTorch's `zero_grad(set_to_none=True)`). */
  zeroGrad(): void {
    for (const { param } of this.#slots.values()) param.grad = undefined;
  }

  /**
   * What a resume needs: `NAME.exp_avg`, `NAME.exp_avg_sq` and `NAME.step` (an int64 scalar). They are the optimizer's
   * own tensors, not copies: later steps change the moments.
   */
  state(): Map<string, Tensor> {
    for (const slot of this.#slots.values()) {
      noGrad(() => zeroMoments(slot));
      slot.savedStep.fill_(slot.step);
    }
    return this.#tensors();
  }

  #tensors(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const [name, { expAvg, expAvgSq, savedStep }] of this.#slots) {
      tensors.set(`${name}.exp_avg`, expAvg);
      tensors.set(`${name}.exp_avg_sq`, expAvgSq);
      tensors.set(`${name}.step`, savedStep);
    }
    return tensors;
  }

  /**
   * Takes over a state with exactly the entries of `state()`. A checkpoint may also be read into the tensors that
   * `state()` gave, and these passed here: moments then aren't copied.
   * @throws Error for missing, surplus or misshapen entries, before anything changes
   */
  loadState(state: ReadonlyMap<string, Tensor>): void {
    const own = this.#tensors();
    for (const [name, mine] of own) {
      const given = state.get(name);
      if (given === undefined) throw new Error(`optimizer state: ${name} is missing`);
      if (given.dtype !== mine.dtype || given.shape.join() !== mine.shape.join()) {
        const [expected, found] = [mine, given].map((t) => `${t.dtype} [${t.shape.join(", ")}]`);
        throw new Error(`optimizer state: ${name}: expected ${expected}, found ${found}`);
      }
    }
    for (const name of state.keys()) {
      if (!own.has(name)) throw new Error(`optimizer state: ${name} belongs to no parameter`);
    }
    noGrad(() => {
      for (const [name, slot] of this.#slots) {
        slot.step = state.get(`${name}.step`)!.item();
        slot.hasMoments = true;
        for (const [part, mine] of [
          ["exp_avg", slot.expAvg],
          ["exp_avg_sq", slot.expAvgSq],
        ] as const) {
          const given = state.get(`${name}.${part}`)!;
          if (given !== mine) mine.copy_(given);
        }
      }
    });
  }

  /** Releases the moments. */
  dispose(): void {
    for (const tensor of this.#tensors().values()) tensor.dispose();
    this.#slots.clear();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The first use of moments that nothing was read into. */
function zeroMoments(slot: Slot): void {
  if (slot.hasMoments) return;
  slot.expAvg.zero_();
  slot.expAvgSq.zero_();
  slot.hasMoments = true;
}
