// Dropout whose masks are a function of where they are: a pass that is made again in backward, a run that is resumed, and the
// ranks that share a layer's input draw the same. Draws nothing from the default generators.
import { empty, Generator, type Tensor } from "../torch/index.ts";

/** One number of several: each differs where one of them does, but for chance. Source: the finalizer of MurmurHash3. */
export function mixSeeds(...parts: readonly number[]): number {
  let hash = 0x9e3779b9;
  for (const part of parts) {
    hash = Math.imul(hash ^ part, 0x85ebca6b);
    hash ^= hash >>> 13;
    hash = Math.imul(hash, 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return hash >>> 0;
}

/** The masks of one pass through a layer, in the order in which they are asked for. */
export class DropoutMasks {
  readonly #seed: number;
  #drawn = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** x with each element zero with this probability, the others scaled by 1 / (1 - probability). */
  drop(x: Tensor, probability: number): Tensor {
    const generator = new Generator(x.device).manualSeed(mixSeeds(this.#seed, this.#drawn++));
    const { dtype, device } = x;
    const kept = empty(x.shape, { dtype, device }).bernoulli_(1 - probability, { generator });
    return x.mul(kept.div_(1 - probability));
  }
}
