// One forward and backward pass, block by block. Each layer gets a graph of its own: its input is detached, its output
// kept; going back, the gradients of one layer are computed and its graph dropped before the next. What a layer keeps is
// the choice of activation checkpointing. Parallel strategies see each block come and go through hooks. The optimizer is not
// here (see update.ts).
import {
  accumulate,
  type Decoder,
  type DecoderLayer,
  type LayerOptions,
  type Sequence,
} from "../models/index.ts";
import { noHooks, type BlockHooks } from "../parallel/index.ts";
import { enableGrad, grad, noGrad, scope, type Dtype, type Tensor } from "../torch/index.ts";
import type { MicroBatch } from "./micro-batch.ts";

export interface StepOptions {
  /** `none` keeps all, `full` the layers' inputs only; see reference of `activation_checkpoint`. */
  checkpointing?: "none" | "full" | "selective";
  /** With `selective`: `op`, or every n-th layer in full. */
  selective?: "op" | number;
  /** Type of activations and of the weights that they meet (mixed precision); undefined: the parameters' own. */
  computeDtype?: Dtype | undefined;
  /** Logits that the head may hold at once; 0 lets it choose. Default: those of 512 tokens, from where on more gain nothing. */
  logitsChunk?: number;
}

const keptRows = 512;

interface Kept {
  input: Tensor;
  /** The layer that ran: with cast weights under mixed precision. */
  used: DecoderLayer;
  /** Undefined: the layer is run again in backward. */
  output: Tensor | undefined;
}

/**
 * Adds the gradients of `scale` x (sum of token losses) to the parameters' `.grad`.
 * @returns the sum of token losses times `scale`, a scalar tensor of the current scope
 */
export function forwardBackward(
  model: Decoder,
  batch: MicroBatch,
  scale: number,
  options: StepOptions = {},
  { hooks = noHooks, last = true }: { hooks?: BlockHooks; last?: boolean } = {},
): Tensor {
  using s = scope();
  const sequence: Sequence = batch;
  const rope = model.rope(Math.max(1, ...batch.lengths));
  const { checkpointing = "selective", selective = "op" } = options;
  const { logitsChunk = keptRows * model.config.vocabSize } = options;
  const layerOptions: LayerOptions = { recompute: checkpointing !== "none" };
  const rerun = (index: number) =>
    checkpointing === "full" ||
    (checkpointing === "selective" && selective !== "op" && index % selective === 0);

  // Blocks as the hooks number them: the embedding is 0, then the layers, then the head.
  const headBlock = model.layers.length + 1;
  hooks.begin({ backward: true, last });
  const mixed = options.computeDtype !== undefined && options.computeDtype !== model.dtype;
  hooks.beforeForward(0);
  let x = model.embedding.forward(batch.tokens);
  hooks.afterForward(0);
  if (mixed) x = x.to(options.computeDtype!);
  const kept: Kept[] = [];
  for (const layer of model.layers) {
    const input = x.detach().requiresGrad_();
    hooks.beforeForward(layer.index + 1);
    const used = mixed ? layer.cast(options.computeDtype!) : layer;
    if (rerun(layer.index)) {
      x = noGrad(() => inScope(() => used.forward(input, sequence, rope, layerOptions)));
      kept.push({ input, used, output: undefined });
    } else {
      x = enableGrad(() => inScope(() => used.forward(input, sequence, rope, layerOptions)));
      kept.push({ input, used, output: x });
    }
    hooks.afterForward(layer.index + 1);
  }

  hooks.beforeForward(headBlock);
  const { loss, gradX } = enableGrad(() => model.head.lossAndGradient(x, batch.labels, scale, logitsChunk));
  hooks.afterBackward(headBlock);
  let gradient = gradX;
  for (const layer of model.layers.toReversed()) {
    const { input, used, output } = kept.pop()!;
    hooks.beforeBackward(layer.index + 1);
    const next = inScope(() => {
      const result = output ?? enableGrad(() => used.forward(input, sequence, rope, layerOptions));
      const trained = layer.parameters.filter((one) => one.requiresGrad);
      const leaves = used.parameters.filter((one) => one.requiresGrad);
      const [gradInput, ...rest] = grad(result, [input, ...leaves], [gradient]) as [Tensor, ...Tensor[]];
      for (const [i, parameter] of trained.entries()) accumulate(parameter, rest[i]!);
      return gradInput;
    });
    // Freed now rather than at the scope's end, so that the next layer's gradients take their place.
    input.dispose();
    output?.dispose();
    if (mixed) for (const one of used.parameters) one.dispose();
    gradient.dispose();
    gradient = next;
    hooks.afterBackward(layer.index + 1);
  }
  hooks.beforeBackward(0);
  model.embedding.backward(batch.tokens, gradient);
  hooks.afterBackward(0);
  return s.keep(loss);
}

/** The sum of token losses, without gradients: a scalar tensor of the current scope. */
export function forwardLoss(model: Decoder, batch: MicroBatch, hooks: BlockHooks = noHooks): Tensor {
  using s = scope();
  const headBlock = model.layers.length + 1;
  hooks.begin({ backward: false, last: false });
  return noGrad(() => {
    const rope = model.rope(Math.max(1, ...batch.lengths));
    hooks.beforeForward(0);
    let x = model.embedding.forward(batch.tokens);
    hooks.afterForward(0);
    for (const layer of model.layers) {
      hooks.beforeForward(layer.index + 1);
      const next = inScope(() => layer.forward(x, batch, rope));
      hooks.afterForward(layer.index + 1);
      x.dispose();
      x = next;
    }
    hooks.beforeForward(headBlock);
    const loss = model.head.loss(x, batch.labels, 1);
    hooks.afterForward(headBlock);
    return s.keep(loss);
  });
}

/** Runs `body` in a scope of its own, out of which its result is kept. */
function inScope(body: () => Tensor): Tensor {
  using s = scope();
  return s.keep(body());
}
