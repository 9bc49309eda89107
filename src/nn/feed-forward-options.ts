// What one call of a layer's feed-forward is told, with experts or without, and what it tells of its router.
import type { Tensor } from "../torch/index.ts";
import type { DropoutMasks } from "./dropout.ts";

/** What the balancing loss needs of a layer's router: of this process's tokens, without those that pad a row. */
export interface Routing {
  /** Tokens that each expert got: [E], int64. */
  readonly counts: Tensor;
  /** Sum over the tokens of the probabilities: [E], with its graph. */
  readonly probabilities: Tensor;
}

/** Of one call of a layer's feed-forward, with experts or without. */
export interface FeedForwardOptions {
  /** Of the whole sequence. */
  readonly tokens: number;
  /** See ProductOptions. */
  readonly recompute?: boolean | undefined;
  readonly masks?: DropoutMasks | undefined;
  /** Sees which experts the tokens went to: for the balancing loss. */
  readonly onRouting?: ((routing: Routing) => void) | undefined;
  /** Where some tokens pad a row, and routing doesn't count them: false for those, [T], bool. */
  readonly real?: Tensor | undefined;
}
