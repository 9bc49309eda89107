// The parts of a trainer that have tensors: strategy, model and optimizer, made from a configuration and without values.
// build.ts fills them; simulate.ts runs a step on ones that have no memory.
import type { Config } from "../../config/index.ts";
import { Decoder, type ModelConfig } from "../../models/index.ts";
import { makeOptimizer, type Optimizer } from "../../optim/index.ts";
import { inMainMemory, type PipelinePlace, type Strategy } from "../../parallel/index.ts";
import { dtypeOfName } from "../../torch/index.ts";
import { camelKeys } from "../../util/index.ts";
import { deviceOf, makeStrategy, type Placement } from "./parallelize.ts";

export interface Assembled {
  readonly strategy: Strategy;
  readonly model: Decoder;
  readonly optimizer: Optimizer;
}

export function assemble(
  config: Config,
  modelConfig: ModelConfig,
  placement: Placement,
  stages: PipelinePlace | undefined,
): Assembled {
  const { training, optimizer } = config;
  const device = deviceOf(config, placement.ranks);
  const strategy = makeStrategy(config, modelConfig, placement, stages);
  const model = new Decoder(modelConfig, {
    dtype: dtypeOfName(training.dtype)!,
    device,
    parameters: strategy.full,
    region: strategy.region,
    exchange: strategy.exchange,
    relay: strategy.relay,
    blocks: stages?.blocks,
  });
  model.prepare(training.seq_len);
  // The optimizer's state is where the parameters are.
  const make = (): Optimizer => makeOptimizer(camelKeys(optimizer), strategy.parameters);
  return {
    strategy,
    model,
    optimizer: training.enable_cpu_offload ? inMainMemory(device, make) : make(),
  };
}
