// A model and its updates as the table tests train them, whole or divided: the same weights wherever it is made, and numbers of
// the optimizer that beside.ts derives its tolerance from.
import {
  adaptersOf,
  blockSpecs,
  Decoder,
  formatsOf,
  initializeParameters,
  type ModelConfig,
} from "../../../src/models/index.ts";
import { type BlockSpec, firstTrainedBlock, parametersOf } from "../../../src/nn/index.ts";
import { clipCoefficient, makeOptimizer, type OptimizerOptions } from "../../../src/optim/index.ts";
import type { ContextRegion, Ranks, Strategy } from "../../../src/parallel/index.ts";
import { type Dtype, float64, manualSeed, type Tensor } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { Update } from "../../../src/train/engine/update.ts";

export const lr = 1e-2;
/** Below every norm of the runs, so that clipping acts. */
export const maxNorm = 0.5;
export const steps = 3;

export interface Learner {
  readonly model: Decoder;
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly update: Update;
  /** Updates the parameters of one block after the other, each clipped by the norm of its own gradients, which are dropped. */
  readonly applyByBlock: () => void;
}

interface LearnerOptions {
  readonly config: ModelConfig;
  readonly strategy: Strategy;
  readonly ranks: Ranks;
  readonly step: StepOptions;
  readonly dtype?: Dtype;
  readonly device?: string;
  readonly implementation?: NonNullable<OptimizerOptions["implementation"]>;
  readonly blocks?: readonly number[] | undefined;
  /** Of the whole model, as it is trained. Default: all of it is. */
  readonly specs?: readonly BlockSpec[];
  readonly context?: ContextRegion | undefined;
  /** Blocks are updated during backward. */
  readonly inBackward?: boolean | undefined;
}

/** A model with the same weights wherever it is made. */
export function makeLearner({
  config,
  strategy,
  ranks,
  step,
  dtype = float64,
  device = "cpu",
  ...more
}: LearnerOptions): Learner {
  manualSeed(7);
  const { full, parameters, slices, region, exchange, relay } = strategy;
  const { blocks, specs = blockSpecs(config) } = more;
  const parts = {
    parameters: full,
    region,
    exchange,
    relay,
    blocks,
    adapters: adaptersOf(specs),
    formats: formatsOf(specs),
  };
  const model = new Decoder(config, { dtype, device, ...parts });
  initializeParameters(parameters, parametersOf(specs), { std: 0.2, slices });
  model.prepare(64);
  const { implementation = "fused", context, inBackward } = more;
  const optimizer = makeOptimizer({ lr, eps: 1e-4, weightDecay: 0.1, implementation }, strategy.trained);
  const { trained } = strategy;
  const applyByBlock = (): void => {
    for (const block of specs) {
      const names = [...block.parameters.keys()].filter((name) => trained.has(name));
      const gradients = new Map(names.map((name) => [name, trained.get(name)!.grad!] as const));
      const gradScale = clipCoefficient(strategy.gradNorm(names), maxNorm);
      optimizer.step(lr, { gradients, gradScale });
    }
    optimizer.zeroGrad();
  };
  const options = { ...step, firstTrained: firstTrainedBlock(specs) };
  return {
    model,
    parameters,
    applyByBlock,
    update: new Update({ model, strategy, optimizer, ranks, context, inBackward, options }),
  };
}
