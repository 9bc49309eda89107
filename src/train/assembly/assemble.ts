// The parts of a run that have tensors: strategy, model and optimizer, made without values, and the options of a step on them.
// The trainer fills them (trainer/start.ts); plan/simulate.ts runs a step on ones that have no memory.
import type { RunSpec } from "../../config/index.ts";
import { Decoder, parameterSpecs, type ModelConfig } from "../../models/index.ts";
import { makeOptimizer, type Optimizer } from "../../optim/index.ts";
import { inMainMemory, type PipelinePlace, type Strategy } from "../../parallel/index.ts";
import type { ShardSlice } from "../../nn/index.ts";
import { dtypeOfName, type Tensor } from "../../torch/index.ts";
import { checkpointingOf } from "../engine/checkpointing.ts";
import type { StepOptions } from "../engine/step.ts";
import { deviceOf, type Placement } from "./placement.ts";
import { makeStrategy } from "./strategy.ts";

export interface Assembly {
  readonly strategy: Strategy;
  readonly model: Decoder;
  readonly optimizer: Optimizer;
}

export function assemble(
  spec: RunSpec,
  modelConfig: ModelConfig,
  placement: Placement,
  stages: PipelinePlace | undefined,
): Assembly {
  const device = deviceOf(spec, placement.ranks);
  const strategy = makeStrategy(spec, modelConfig, placement, stages);
  const model = new Decoder(modelConfig, {
    dtype: dtypeOfName(spec.dtype)!,
    device,
    parameters: strategy.full,
    region: strategy.region,
    exchange: strategy.exchange,
    relay: strategy.relay,
    blocks: stages?.blocks,
  });
  model.prepare(spec.seqLen);
  const parameters = parameterSpecs(modelConfig);
  const decays = (name: string): boolean => parameters.get(name)!.decay;
  // The optimizer's state is where the parameters are.
  const offsetOf = (name: string): number =>
    firstElement(strategy.trained.get(name)!, strategy.slices.get(name));
  const options = { ...spec.optimizer, decays, offsetOf, seed: spec.seed ?? 0 };
  const make = (): Optimizer => makeOptimizer(options, strategy.trained);
  return {
    strategy,
    model,
    optimizer: spec.cpuOffload ? inMainMemory(device, make) : make(),
  };
}

/** The number, in the whole parameter, of a slice's first element: exact where the slice has whole rows. */
function firstElement(tensor: Tensor, slice: ShardSlice | undefined): number {
  if (slice === undefined || tensor.numel() === 0) return 0;
  return slice.start * (tensor.numel() / slice.length) + (slice.columns?.start ?? 0);
}

export function stepOptionsOf(spec: RunSpec): StepOptions {
  return { ...checkpointingOf(spec), computeDtype: dtypeOfName(spec.computeDtype)! };
}
