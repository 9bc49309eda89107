// Forward and backward of a model's blocks, one by one: what step.ts does with all blocks in one go and pipeline-step.ts
// with those of a stage. Each layer gets a graph of its own: its input is detached, its output kept; going back, the
// gradients of one layer are computed and its graph dropped before the next. What a layer keeps is the choice of activation
// checkpointing. Parallel strategies see each block come and go through hooks.
import {
  accumulate,
  type Decoder,
  type DecoderLayer,
  type LayerOptions,
  type Product,
  type Routing,
} from "../../models/index.ts";
import type { BlockHooks } from "../../parallel/index.ts";
import { enableGrad, grad, noGrad, scope, type Dtype, type Tensor } from "../../torch/index.ts";
import { isRunAgain, keptRows, type Checkpointing } from "./checkpointing.ts";
import type { MicroBatch } from "./micro-batch.ts";
import { RouterBalance, type Balance } from "./router-balance.ts";

export interface StepOptions extends Checkpointing {
  /** Type of activations and of the weights that they meet (mixed precision); undefined: the parameters' own. */
  computeDtype?: Dtype | undefined;
  /** Logits that the head may hold at once; 0 lets it choose. Default: those of 512 tokens on a CPU, from where on more gain nothing. */
  logitsChunk?: number;
}

/** What a layer keeps from forward to backward. */
export interface Kept {
  readonly layer: DecoderLayer;
  readonly input: Tensor;
  /** The layer that ran: with cast weights under mixed precision. */
  readonly used: DecoderLayer;
  /** Undefined: the layer is run again in backward. */
  readonly output: Tensor | undefined;
  /** Where backward is split: the outputs of products with weights. */
  readonly products: readonly Product[];
  /** Where the experts' load is balanced: what the layer's router did, with its graph where the output has one. */
  readonly routing: Routing | undefined;
}

/** What a layer keeps from the gradient of its input to those of its weights. */
export interface KeptWeights {
  readonly kept: Kept;
  /** Products, and the gradients of their outputs. */
  readonly products: readonly { readonly product: Product; readonly gradients: readonly Tensor[] }[];
  /**
   * Gradients that came with that of the input. They, too, are added with the rest: a strategy takes a layer's gradients
   * all together, and between the two another microbatch's may be taken.
   */
  readonly others: readonly { readonly parameter: Tensor; readonly gradient: Tensor }[];
}

export class BlockRun {
  readonly #model: Decoder;
  readonly #options: StepOptions;
  readonly #hooks: BlockHooks;
  readonly #layerOptions: LayerOptions;
  readonly #mixed: Dtype | undefined;
  readonly balance: RouterBalance;

  constructor(model: Decoder, options: StepOptions, hooks: BlockHooks) {
    this.#model = model;
    this.#options = options;
    this.#hooks = hooks;
    this.#layerOptions = { recompute: (options.checkpointing ?? "selective") !== "none" };
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
  ): { kept: Kept[]; output: Tensor } {
    const kept: Kept[] = [];
    let routing: Routing | undefined;
    const onRouting = this.balance.isOn ? (one: Routing) => (routing = one) : undefined;
    let output = x;
    for (const layer of layers) {
      const input = output.detach().requiresGrad_();
      if (kept.at(-1)?.output !== output) output.dispose();
      this.#hooks.beforeForward(layer.index + 1);
      const used = this.#mixed ? layer.cast(this.#mixed) : layer;
      routing = undefined;
      if (isRunAgain(this.#options, layer.index)) {
        output = noGrad(() => this.#run(used, input, batch, { onRouting }));
        kept.push({ layer, input, used, output: undefined, products: [], routing });
      } else {
        const products: Product[] = [];
        const seen = split ? { products } : {};
        output = enableGrad(() => this.#run(used, input, batch, { ...seen, onRouting }));
        kept.push({ layer, input, used, output, products, routing });
      }
      this.#hooks.afterForward(layer.index + 1);
    }
    return { kept, output };
  }

  #run(
    layer: DecoderLayer,
    input: Tensor,
    batch: MicroBatch,
    { products, onRouting }: { products?: Product[]; onRouting?: LayerOptions["onRouting"] } = {},
  ): Tensor {
    using s = scope();
    const rope = this.#model.rope(Math.max(1, ...batch.lengths));
    const options: LayerOptions = { ...this.#layerOptions };
    if (onRouting !== undefined && batch.real !== undefined) options.real = batch.real;
    if (products !== undefined) options.onProduct = (one) => products.push(one);
    if (onRouting !== undefined)
      options.onRouting = (one) => {
        s.keep(one.counts);
        s.keep(one.probabilities);
        onRouting(one);
      };
    const output = layer.forward(input, batch, rope, options);
    for (const { outputs } of products ?? []) for (const one of outputs) if (one !== output) s.keep(one);
    return s.keep(output);
  }

  /** Loss of hidden states x and gradient with respect to them; that of the weights is added to theirs. */
  head(x: Tensor, batch: MicroBatch, scale: number): { loss: Tensor; gradX: Tensor } {
    const { config, device } = this.#model;
    const { logitsChunk = keptRows(String(device) === "cpu") * config.vocabSize } = this.#options;
    this.#hooks.beforeForward(this.#headBlock);
    using s = scope();
    const { loss, gradX } = enableGrad(() =>
      this.#model.head.lossAndGradient(x, batch.labels, scale, logitsChunk),
    );
    this.#hooks.afterBackward(this.#headBlock);
    return { loss: s.keep(loss), gradX: s.keep(gradX) };
  }

  /** Gradients of all that the layers kept, from the last to the first. Takes `gradient`, gives that of their input. */
  backward(kept: Kept[], gradient: Tensor, batch: MicroBatch, balance?: Balance): Tensor {
    let current = gradient;
    for (let one = kept.pop(); one !== undefined; one = kept.pop()) {
      const { layer, input, used, output } = one;
      this.#hooks.beforeBackward(layer.index + 1);
      const next = inScope(() => {
        let { routing } = one;
        const onRouting = routing && ((found: Routing) => (routing = found));
        const result = output ?? enableGrad(() => this.#run(used, input, batch, { onRouting }));
        const trained = layer.parameters.filter((parameter) => parameter.requiresGrad);
        const leaves = used.parameters.filter((parameter) => parameter.requiresGrad);
        const outputs = routing === undefined ? [result] : [result, routing.probabilities];
        const weights = routing === undefined ? [current] : [current, balance!.gradient];
        const [gradInput, ...rest] = grad(outputs, [input, ...leaves], weights) as [Tensor, ...Tensor[]];
        for (const [i, parameter] of trained.entries()) accumulate(parameter, rest[i]!);
        return gradInput;
      });
      // Freed now rather than at the scope's end, so that the next layer's gradients take their place.
      this.#drop(one);
      current.dispose();
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
    kept: Kept[],
    gradient: Tensor,
    batch: MicroBatch,
    balance?: Balance,
  ): { gradient: Tensor; weights: KeptWeights[] } {
    const weights: KeptWeights[] = [];
    let current = gradient;
    for (let popped = kept.pop(); popped !== undefined; popped = kept.pop()) {
      let one = popped;
      this.#hooks.beforeBackward(one.layer.index + 1);
      if (one.output === undefined) {
        const products: Product[] = [];
        const { used, input } = one;
        let { routing } = one;
        const before = routing;
        const onRouting = routing && ((found: Routing) => (routing = found));
        const output = enableGrad(() => this.#run(used, input, batch, { products, onRouting }));
        dropRouting(before);
        one = { ...one, output, products, routing };
      }
      const { layer, used, input, products, routing } = one;
      const later = new Set(products.flatMap((product) => product.weights));
      const now = used.parameters
        .map((leaf, i) => ({ leaf, parameter: layer.parameters[i]! }))
        .filter(({ leaf }) => leaf.requiresGrad && !later.has(leaf));
      // Without a region the last product is the layer's output, whose gradient is there already.
      const points = products.flatMap((product) => product.outputs).filter((each) => each !== one.output);
      using s = scope();
      const asked = [input, ...points, ...now.map(({ leaf }) => leaf)];
      const outputs = routing === undefined ? [one.output!] : [one.output!, routing.probabilities];
      const ofOutputs = routing === undefined ? [current] : [current, balance!.gradient];
      const found = grad(outputs, asked, ofOutputs, { retainGraph: true });
      const [gradInput, ...gradients] = found.map((each) => s.keep(each));
      const ofOthers = gradients.splice(points.length);
      if (products.at(-1)!.outputs[0] === one.output) gradients.push(current);
      else current.dispose();
      weights.push({
        kept: one,
        products: products.map((product) => ({
          product,
          gradients: gradients.splice(0, product.outputs.length),
        })),
        others: now.map(({ parameter }, i) => ({ parameter, gradient: ofOthers[i]! })),
      });
      current = gradInput!;
    }
    return { gradient: current, weights };
  }

  /** The gradients that `backwardInputs` left for later. */
  backwardWeights(weights: readonly KeptWeights[]): void {
    for (const { kept, products, others } of weights) {
      const { layer, used } = kept;
      // Norms are made again for the products that follow them, so that values are needed here, too.
      this.#hooks.beforeBackward(layer.index + 1);
      const parameterOf = new Map(used.parameters.map((leaf, i) => [leaf, layer.parameters[i]!]));
      for (const { product, gradients } of products) {
        using temporaries = scope();
        void temporaries;
        const leaves = product.weights.filter((leaf) => leaf.requiresGrad);
        if (leaves.length > 0) {
          const found = grad(product.outputs, leaves, gradients);
          for (const [i, leaf] of leaves.entries()) accumulate(parameterOf.get(leaf)!, found[i]!);
        }
        for (const one of gradients) one.dispose();
      }
      for (const { parameter, gradient } of others) {
        using temporaries = scope();
        void temporaries;
        accumulate(parameter, gradient);
        gradient.dispose();
      }
      this.#drop(kept);
      this.#hooks.afterBackward(layer.index + 1);
    }
  }

  #drop({ input, used, output, products, routing }: Kept): void {
    input.dispose();
    dropRouting(routing);
    for (const { outputs } of products) for (const one of outputs) one.dispose();
    output?.dispose();
    if (this.#mixed) for (const one of used.parameters) one.dispose();
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
    const loss = this.#model.head.loss(x, batch.labels, 1);
    this.#hooks.afterForward(this.#headBlock);
    return loss;
  }
}

function dropRouting(routing: Routing | undefined): void {
  routing?.counts.dispose();
  routing?.probabilities.dispose();
}

/** Runs `body` in a scope of its own, out of which its result is kept. */
function inScope(body: () => Tensor): Tensor {
  using s = scope();
  return s.keep(body());
}
