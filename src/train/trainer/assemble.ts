// What of a trainer has tensors: strategy, model, optimizer, made from a configuration and without values. What fills them is
// build.ts's; simulate.ts runs a step of them that have no memory.
import type { Config } from "../../config/index.ts";
import { Decoder, type ModelConfig } from "../../models/index.ts";
import { AdamW } from "../../optim/index.ts";
import { inMainMemory, type PipelinePlace, type Strategy } from "../../parallel/index.ts";
import { dtypeOfName } from "../../torch/index.ts";
import { deviceOf, makeStrategy, type Placement } from "./parallelize.ts";

export interface Assembled {
  readonly strategy: Strategy;
  readonly model: Decoder;
  readonly optimizer: AdamW;
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
  // Moments are where the parameters are.
  const makeOptimizer = (): AdamW => new AdamW(strategy.parameters, optimizer);
  return {
    strategy,
    model,
    optimizer: training.enable_cpu_offload ? inMainMemory(device, makeOptimizer) : makeOptimizer(),
  };
}
