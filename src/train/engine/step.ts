// One forward and backward pass of a model that this process has all blocks of, block by block; block-run.ts has the blocks'
// arithmetic, and pipeline-step.ts runs those of a stage. The optimizer is not here (see update.ts).
import type { Decoder } from "../../models/index.ts";
import { noHooks, type BlockHooks, type Pass } from "../../parallel/index.ts";
import { noGrad, scope, type Tensor } from "../../torch/index.ts";
import { BlockRun, type StepOptions } from "./block-run.ts";
import type { MicroBatch } from "./micro-batch.ts";

export type { StepOptions } from "./block-run.ts";

/**
 * Adds the gradients of `scale` x (sum of token losses) to the parameters' `.grad`, of a model with experts with the
 * balancing loss where config.json asks for it.
 * @returns that loss, a scalar tensor of the current scope
 */
export function forwardBackward(
  model: Decoder,
  batch: MicroBatch,
  scale: number,
  options: StepOptions = {},
  {
    hooks = noHooks,
    last = true,
    onGradients,
  }: { hooks?: BlockHooks } & Partial<Omit<Pass, "backward">> = {},
): Tensor {
  using s = scope();
  const run = new BlockRun(model, options, hooks);
  hooks.begin({ backward: true, last, onGradients });
  const { activations, output } = run.forward(model.layers, run.embed(batch), batch);
  const { loss, gradX } = run.head(output, batch, scale);
  const own = run.balance.countsOf(activations);
  const counts = own && run.balance.sumCounts(own, batch);
  const balance = run.balance.lossOf(activations, batch, { counts, scale });
  const gradient = run.backward(activations, gradX, batch, balance);
  if (gradient !== undefined) run.embedBackward(batch, gradient);
  return s.keep(balance === undefined ? loss : loss.add(balance.loss));
}

/** The sum of token losses, without gradients: a scalar tensor of the current scope. */
export function forwardLoss(model: Decoder, batch: MicroBatch, hooks: BlockHooks = noHooks): Tensor {
  using s = scope();
  const run = new BlockRun(model, {}, hooks);
  hooks.begin({ backward: false, last: false });
  return noGrad(() =>
    s.keep(run.lossOnly(run.forwardOnly(model.layers, run.embedOnly(batch), batch), batch)),
  );
}
