// Forward and backward of a model's blocks, one by one: what step.ts does with all blocks in one go and pipeline-step.ts
// with those of a stage. Each layer gets a graph of its own: its input is detached, its output kept; going back, the
// gradients of one layer are computed and its graph dropped before the next. What a layer keeps is the choice of activation
// checkpointing. Parallel strategies see each block come and go through hooks.
import type { Decoder, DecoderLayer, LayerOptions } from "../../models/index.ts";
import { crossEntropy, type Loss } from "../../losses/index.ts";
import {
  accumulate,
  disposeCasts,
  DropoutMasks,
  mixSeeds,
  recordProducts,
  type Product,
  type Routing,
} from "../../nn/index.ts";
import type { BlockHooks } from "../../parallel/index.ts";
import { enableGrad, grad, noGrad, scope, type Dtype, type Scope, type Tensor } from "../../torch/index.ts";
import { isRecomputed, keptRows, type Checkpointing } from "./checkpointing.ts";
import type { MicroBatch } from "./micro-batch.ts";
import { RouterBalance, type Balance } from "./router-balance.ts";

export interface StepOptions extends Checkpointing {
  /** Type of activations and of the weights that they meet (mixed precision); undefined: the parameters' own. */
  computeDtype?: Dtype | undefined;
  /** Logits that the head may hold at once; 0 lets it choose. Default: those of 512 tokens on a CPU, from where on more gain nothing. */
  logitsChunk?: number;
  /** What the model is trained for. Default: cross-entropy. */
  loss?: Loss;
  /** The first block in which something is trained: backward ends there. Default 0, the embedding. */
  firstTrained?: number;
}

/** What a layer keeps from forward to backward. */
export interface LayerActivations {
  readonly layer: DecoderLayer;
  /** The layer that ran: with cast weights under mixed precision, else `layer` itself. */
  readonly cast: DecoderLayer;
  /** Undefined: nothing in the layer or below it is trained, and it has no backward. */
  readonly input: Tensor | undefined;
  /** With its graph; undefined where the layer is recomputed in backward. */
  readonly output: Tensor | undefined;
  /** Where backward is split: the products with weights. */
  readonly products: readonly Product[];
  /** Where the experts' load is balanced: what the layer's router did, with its graph where the output has one. */
  readonly routing: Routing | undefined;
}

/** What is left of a layer's backward when the gradient of its input is there. */
export interface WeightBackward {
  readonly activations: LayerActivations;
  /** Products, and the gradients of their outputs. */
  readonly products: readonly { readonly product: Product; readonly gradients: readonly Tensor[] }[];
  /**
   * Gradients that came with that of the input. They, too, are added with the rest: a strategy takes a layer's gradients
   * all together, and between the two another microbatch's may be taken.
   */
  readonly others: readonly { readonly parameter: Tensor; readonly gradient: Tensor }[];
}

/** What one forward pass of a layer gives. */
interface LayerPass {
  readonly output: Tensor;
  readonly products: readonly Product[];
  readonly routing: Routing | undefined;
}

export class BlockRun {
  readonly #model: Decoder;
  readonly #options: StepOptions;
  readonly #hooks: BlockHooks;
  readonly #recompute: boolean;
  readonly #loss: Loss;
  readonly #mixed: Dtype | undefined;
  readonly #firstTrained: number;
  readonly balance: RouterBalance;

  constructor(model: Decoder, options: StepOptions, hooks: BlockHooks) {
    this.#model = model;
    this.#options = options;
    this.#hooks = hooks;
    this.#recompute = (options.checkpointing ?? "selective") !== "none";
    this.#loss = options.loss ?? crossEntropy;
    this.#firstTrained = options.firstTrained ?? 0;
    this.balance = new RouterBalance(model);
    this.#mixed = options.computeDtype === model.dtype ? undefined : options.computeDtype;
  }

  /** Of what goes from block to block. */
  get dtype(): Dtype {
    return this.#mixed ?? this.#model.dtype;
  }

  /** The last block's number, as the hooks count: the embedding is 0, then the layers, then the head. */
  get #headBlock(): number {
    return this.#model.config.numLayers + 1;
  }

  /** Whether backward through this block gives a gradient of its input. */
  needsInputGradient(block: number): boolean {
    return block > this.#firstTrained;
  }

  /** The embedding: [T, D]. */
  embed(batch: MicroBatch): Tensor {
    this.#hooks.beforeForward(0);
    const x = inScope(() => this.#model.embedding.forward(batch.tokens));
    this.#hooks.afterForward(0);
    if (this.#mixed === undefined) return x;
    const cast = x.to(this.#mixed);
    x.dispose();
    return cast;
  }

  /**
   * Layers, one after the other. Takes x; the output is the caller's, and has a graph where the last layer keeps it.
   * @param split whether `backwardInputs` and `backwardWeights` follow rather than `backward`
   */
  forward(
    layers: readonly DecoderLayer[],
    x: Tensor,
    batch: MicroBatch,
    split = false,
  ): { activations: LayerActivations[]; output: Tensor } {
    const activations: LayerActivations[] = [];
    let output = x;
    for (const layer of layers) {
      const block = layer.index + 1;
      const input = output.detach().requiresGrad_(this.needsInputGradient(block));
      if (activations.at(-1)?.output !== output) output.dispose();
      this.#hooks.beforeForward(block);
      const cast = this.#mixed ? layer.cast(this.#mixed) : layer;
      const how = { split, routes: this.balance.isOn };
      if (block < this.#firstTrained) {
        const pass = noGrad(() => this.#pass(cast, input, batch, { ...how, split: false }));
        output = pass.output;
        input.dispose();
        activations.push({ layer, cast, ...pass, input: undefined, output: undefined });
      } else if (isRecomputed(this.#options, layer.index)) {
        const pass = noGrad(() => this.#pass(cast, input, batch, { ...how, split: false }));
        output = pass.output;
        activations.push({ layer, cast, input, ...pass, output: undefined });
      } else {
        const pass = enableGrad(() => this.#pass(cast, input, batch, how));
        output = pass.output;
        activations.push({ layer, cast, input, ...pass });
      }
      this.#hooks.afterForward(block);
    }
    return { activations, output };
  }

  /**
   * One forward pass of a layer.
   * @param split whether its products are kept for a backward pass that is split
   * @param routes whether it is kept what the layer's router did
   */
  #pass(
    layer: DecoderLayer,
    input: Tensor,
    batch: MicroBatch,
    { split, routes }: { split: boolean; routes: boolean },
  ): LayerPass {
    using s = scope();
    const rope = this.#model.rope(Math.max(1, ...batch.lengths));
    let routing: Routing | undefined;
    const { dropoutSeed: seed } = batch;
    const options: LayerOptions = {
      recompute: this.#recompute,
      // Anew for each pass, so that one that is made again in backward has the same masks.
      masks: seed === undefined ? undefined : new DropoutMasks(mixSeeds(seed, layer.index)),
      ...(routes ? { real: batch.real, onRouting: (one: Routing) => (routing = one) } : {}),
    };
    const forward = (): Tensor => layer.forward(input, batch, rope, options);
    const { result: output, products } = split
      ? recordProducts(forward)
      : { result: forward(), products: [] };
    for (const { outputs } of products) for (const one of outputs) if (one !== output) s.keep(one);
    return { output: s.keep(output), products, routing: routing && keepRouting(s, routing) };
  }

  /** The pass whose graph backward goes through: the one that was kept, or one made again. */
  #passOf(activations: LayerActivations, batch: MicroBatch, split: boolean): LayerPass {
    const { output, cast, input, products, routing } = activations;
    if (output !== undefined) return { output, products, routing };
    const how = { split, routes: routing !== undefined };
    return enableGrad(() => this.#pass(cast, input!, batch, how));
  }

  /** Loss of hidden states x and gradient with respect to them; that of the weights is added to theirs. */
  head(x: Tensor, batch: MicroBatch, scale: number): { loss: Tensor; gradX: Tensor } {
    const { config, device } = this.#model;
    const { logitsChunk = keptRows(String(device) === "cpu") * config.vocabSize } = this.#options;
    this.#hooks.beforeForward(this.#headBlock);
    using s = scope();
    const { loss, gradX } = enableGrad(() =>
      this.#loss.lossAndGradient(this.#model.head, x, batch, { scale, chunk: logitsChunk }),
    );
    this.#hooks.afterBackward(this.#headBlock);
    return { loss: s.keep(loss), gradX: s.keep(gradX) };
  }

  /**
   * Gradients of all that the layers kept, from the last to the first. Takes `gradient`, gives that of their input: none where
   * nothing below is trained.
   */
  backward(
    activations: LayerActivations[],
    gradient: Tensor | undefined,
    batch: MicroBatch,
    balance?: Balance,
  ): Tensor | undefined {
    let current = gradient;
    while (activations.length > 0) {
      const one = activations.pop()!;
      const { layer, cast, input } = one;
      if (input === undefined) {
        this.#drop(one);
        current?.dispose();
        current = undefined;
        continue;
      }
      this.#hooks.beforeBackward(layer.index + 1);
      const above = current!;
      const next = inScope(() => {
        const { outputs, gradients } = rootsOf(this.#passOf(one, batch, false), above, balance);
        const trained = trainedOf(layer, cast);
        const leaves = trained.map(({ leaf }) => leaf);
        const inputs = input.requiresGrad ? [input] : [];
        const found = grad(outputs, [...inputs, ...leaves], gradients);
        const [gradInput] = found.splice(0, inputs.length);
        for (const [i, { parameter }] of trained.entries()) accumulate(parameter, found[i]!);
        return gradInput;
      });
      // Freed now rather than at the scope's end, so that the next layer's gradients take their place.
      this.#drop(one);
      above.dispose();
      current = next;
      this.#hooks.afterBackward(layer.index + 1);
    }
    return current;
  }

  /**
   * The gradient of the layers' input alone; what those of the weights need is kept.
   * Takes `gradient`.
   */
  backwardInputs(
    activations: LayerActivations[],
    gradient: Tensor | undefined,
    batch: MicroBatch,
    balance?: Balance,
  ): { gradient: Tensor | undefined; weights: WeightBackward[] } {
    const weights: WeightBackward[] = [];
    let current = gradient;
    while (activations.length > 0) {
      const one = activations.pop()!;
      const { layer, cast, input } = one;
      if (input === undefined) {
        this.#drop(one);
        current?.dispose();
        current = undefined;
        continue;
      }
      const above = current!;
      this.#hooks.beforeBackward(layer.index + 1);
      using s = scope();
      const pass = this.#passOf(one, batch, true);
      if (pass.routing !== one.routing) dropRouting(one.routing);
      const { output, products: all } = keepPass(s, pass);
      const products = all.filter((product) => product.weights.some((leaf) => leaf.requiresGrad));
      const later = new Set(products.flatMap((product) => product.weights));
      const now = trainedOf(layer, cast).filter(({ leaf }) => !later.has(leaf));
      // Without a region the last product is the layer's output, whose gradient is there already.
      const points = products.flatMap((product) => product.outputs).filter((each) => each !== output);
      const { outputs, gradients } = rootsOf(pass, above, balance);
      const inputs = input.requiresGrad ? [input] : [];
      const asked = [...inputs, ...points, ...now.map(({ leaf }) => leaf)];
      const found = asked.length === 0 ? [] : grad(outputs, asked, gradients, { retainGraph: true });
      const rest = found.map((each) => s.keep(each));
      const [gradInput] = rest.splice(0, inputs.length);
      const ofPoints = rest.splice(0, points.length);
      if (products.at(-1)?.outputs[0] === output) ofPoints.push(above);
      else above.dispose();
      weights.push({
        activations: { ...one, ...pass },
        products: products.map((product) => ({
          product,
          gradients: ofPoints.splice(0, product.outputs.length),
        })),
        others: now.map(({ parameter }, i) => ({ parameter, gradient: rest[i]! })),
      });
      current = gradInput;
    }
    return { gradient: current, weights };
  }

  /** The gradients that `backwardInputs` left for later. */
  backwardWeights(weights: readonly WeightBackward[]): void {
    for (const { activations, products, others } of weights) {
      const { layer, cast } = activations;
      // Norms are made again for the products that follow them, so that values are needed here, too.
      this.#hooks.beforeBackward(layer.index + 1);
      const parameterOf = new Map(trainedOf(layer, cast).map(({ leaf, parameter }) => [leaf, parameter]));
      for (const { product, gradients } of products) {
        using _ = scope();
        const leaves = product.weights.filter((leaf) => leaf.requiresGrad);
        if (leaves.length > 0) {
          const found = grad(product.outputs, leaves, gradients);
          for (const [i, leaf] of leaves.entries()) accumulate(parameterOf.get(leaf)!, found[i]!);
        }
        for (const one of gradients) one.dispose();
      }
      for (const { parameter, gradient } of others) {
        using _ = scope();
        accumulate(parameter, gradient);
        gradient.dispose();
      }
      this.#drop(activations);
      this.#hooks.afterBackward(layer.index + 1);
    }
  }

  #drop({ layer, cast, input, output, products, routing }: LayerActivations): void {
    input?.dispose();
    dropRouting(routing);
    for (const { outputs } of products) for (const one of outputs) one.dispose();
    output?.dispose();
    if (cast !== layer) disposeCasts(cast.parameters);
  }

  /** Adds the embedding's gradient. */
  embedBackward(batch: MicroBatch, gradient: Tensor): void {
    this.#hooks.beforeBackward(0);
    this.#model.embedding.backward(batch.tokens, gradient);
    this.#hooks.afterBackward(0);
  }

  // Without gradients, in the parameters' own type: evaluation.

  embedOnly(batch: MicroBatch): Tensor {
    this.#hooks.beforeForward(0);
    const x = inScope(() => this.#model.embedding.forward(batch.tokens));
    this.#hooks.afterForward(0);
    return x;
  }

  /** Takes x. */
  forwardOnly(layers: readonly DecoderLayer[], x: Tensor, batch: MicroBatch): Tensor {
    const rope = this.#model.rope(Math.max(1, ...batch.lengths));
    let output = x;
    for (const layer of layers) {
      this.#hooks.beforeForward(layer.index + 1);
      const next = inScope(() => layer.forward(output, batch, rope));
      this.#hooks.afterForward(layer.index + 1);
      output.dispose();
      output = next;
    }
    return output;
  }

  /** The sum of token losses. */
  lossOnly(x: Tensor, batch: MicroBatch): Tensor {
    this.#hooks.beforeForward(this.#headBlock);
    const loss = this.#loss.forward(this.#model.head, x, batch, { scale: 1 });
    this.#hooks.afterForward(this.#headBlock);
    return loss;
  }
}

/** The weights that a layer's pass met, and the parameters that their gradients belong to. */
function trainedOf(layer: DecoderLayer, cast: DecoderLayer): { leaf: Tensor; parameter: Tensor }[] {
  return cast.parameters
    .map((leaf, i) => ({ leaf, parameter: layer.parameters[i]! }))
    .filter(({ leaf }) => leaf.requiresGrad);
}

/** Where backward through a layer begins: its output, and of a router that is balanced the probabilities. */
function rootsOf(
  { output, routing }: LayerPass,
  gradient: Tensor,
  balance: Balance | undefined,
): { outputs: Tensor[]; gradients: Tensor[] } {
  if (routing === undefined) return { outputs: [output], gradients: [gradient] };
  return { outputs: [output, routing.probabilities], gradients: [gradient, balance!.gradient] };
}

/** What a layer keeps outlives the scope of the pass that made it. */
export function keepActivations(s: Scope, activations: LayerActivations): void {
  const { layer, cast, input, output, products, routing } = activations;
  if (input !== undefined) s.keep(input);
  if (routing !== undefined) keepRouting(s, routing);
  if (output !== undefined) s.keep(output);
  for (const { outputs } of products) for (const one of outputs) s.keep(one);
  if (cast !== layer) for (const one of cast.parameters) s.keep(one);
}

/** The same of what `backwardInputs` leaves for later. */
export function keepWeightBackward(s: Scope, { activations, products, others }: WeightBackward): void {
  keepActivations(s, activations);
  for (const { gradients } of products) for (const one of gradients) s.keep(one);
  for (const { gradient } of others) s.keep(gradient);
}

function keepPass(s: Scope, pass: LayerPass): LayerPass {
  s.keep(pass.output);
  for (const { outputs } of pass.products) for (const one of outputs) s.keep(one);
  if (pass.routing !== undefined) keepRouting(s, pass.routing);
  return pass;
}

function keepRouting(s: Scope, routing: Routing): Routing {
  s.keep(routing.counts);
  s.keep(routing.probabilities);
  return routing;
}

function dropRouting(routing: Routing | undefined): void {
  routing?.counts.dispose();
  routing?.probabilities.dispose();
}

/** Runs `body` in a scope of its own, out of which its result is kept. */
function inScope<T extends Tensor | undefined>(body: () => T): T {
  using s = scope();
  const result = body();
  if (result !== undefined) s.keep(result);
  return result;
}
