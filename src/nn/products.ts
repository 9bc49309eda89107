// Records which products with weights a layer makes: a pipeline that splits backward (zero bubble) computes the gradient of a
// layer's input first, and those of its weights, product by product, later. Layers that make products call recordProduct.
import type { Tensor } from "../torch/index.ts";

/** Products of one input with weights. */
export interface Product {
  readonly outputs: readonly Tensor[];
  /** Weights, and biases that are added with them. */
  readonly weights: readonly Tensor[];
}

let recording: Product[] | undefined;

/** Runs `body` and lists the products that it makes, in their order. */
export function recordProducts<T>(body: () => T): { result: T; products: Product[] } {
  const outer = recording;
  const products: Product[] = [];
  recording = products;
  try {
    return { result: body(), products };
  } finally {
    recording = outer;
  }
}

/** Notes a product, where somebody records. */
export function recordProduct(outputs: readonly Tensor[], weights: readonly Tensor[]): void {
  recording?.push({ outputs, weights });
}
