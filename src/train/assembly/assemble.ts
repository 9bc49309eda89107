// The parts of a run that have tensors: strategy, model and optimizer, made without values, and the options of a step on them.
// The trainer fills them (trainer/start.ts); plan/simulate.ts runs a step on ones that have no memory.
import type { RunSpec } from "../../config/index.ts";
import { adapterNames, adaptersOf, Decoder, formatsOf, type ModelConfig } from "../../models/index.ts";
import { firstTrainedBlock, parametersOf, type BlockSpec, type ShardSlice } from "../../nn/index.ts";
import { makeOptimizer, type Optimizer } from "../../optim/index.ts";
import { inMainMemory, type PipelinePlace, type Strategy } from "../../parallel/index.ts";
import { dtypeOfName, type Tensor } from "../../torch/index.ts";
import { checkpointingOf } from "../engine/checkpointing.ts";
import type { StepOptions } from "../engine/step.ts";
import { deviceOf, type Placement } from "./placement.ts";
import { makeStrategy } from "./strategy.ts";
import { trainedBlocks } from "./trained-blocks.ts";

export interface Assembly {
  /** Of the whole model, as it is trained. */
  readonly blocks: readonly BlockSpec[];
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
  const blocks = trainedBlocks(spec, modelConfig);
  const strategy = makeStrategy(spec, blocks, placement, stages);
  const adapters = adaptersOf(blocks);
  const model = new Decoder(modelConfig, {
    dtype: dtypeOfName(spec.dtype)!,
    device,
    parameters: strategy.full,
    region: strategy.region,
    exchange: strategy.exchange,
    relay: strategy.relay,
    adapters,
    formats: formatsOf(blocks),
    blocks: stages?.blocks,
  });
  model.prepare(spec.seqLen);
  const parameters = parametersOf(blocks);
  const decays = (name: string): boolean => parameters.get(name)!.decay;
  const lrFactor = lrFactors(spec, [...adapters.keys()]);
  // The optimizer's state is where the parameters are.
  const offsetOf = (name: string): number =>
    firstElement(strategy.trained.get(name)!, strategy.slices.get(name));
  const options = { ...spec.optimizer, decays, lrFactor, offsetOf, seed: spec.seed ?? 0 };
  const make = (): Optimizer => makeOptimizer(options, strategy.trained);
  return {
    blocks,
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

/** LoRA+ (Hayou et al. 2024, https://arxiv.org/abs/2402.12354): lora_B and, as in PEFT, magnitudes learn faster. */
function lrFactors({ adapter }: RunSpec, modules: readonly string[]): ((name: string) => number) | undefined {
  const ratio = adapter?.loraPlusRatio ?? 1;
  if (ratio === 1) return undefined;
  const names = modules.map((module) => adapterNames(module));
  const fast = new Set(names.flatMap(({ b, magnitude }) => [b, magnitude]));
  return (name) => (fast.has(name) ? ratio : 1);
}

export function stepOptionsOf(spec: RunSpec, blocks: readonly BlockSpec[]): StepOptions {
  return {
    ...checkpointingOf(spec),
    computeDtype: dtypeOfName(spec.computeDtype)!,
    firstTrained: firstTrainedBlock(blocks),
  };
}
