// The one way in which tests compare numbers that rounding may change.
import assert from "node:assert/strict";

import { float64, scope, type Tensor } from "../src/torch/index.ts";

type Numbers = number | readonly number[] | Tensor;

export interface Tolerance {
  /** Of the largest expected value. Default 0. */
  readonly rtol?: number;
  /** What the largest expected value counts for at least: for values that may all be near zero. Default 0. */
  readonly floor?: number;
  /** Added to it. Default 0. */
  readonly atol?: number;
}

/**
 * The largest difference is at most `rtol` of the largest expected value, plus `atol`: errors of sums are of the size of
 * their largest terms, not of each element. NaN differs from everything.
 */
export function assertClose(
  found: Numbers,
  expected: Numbers,
  { rtol = 0, floor = 0, atol = 0 }: Tolerance,
  what: string,
): void {
  const [shape, off, largest] = compare(found, expected, what);
  if (shape.includes(0)) return;
  const tolerance = rtol * Math.max(largest, floor) + atol;
  assert.ok(
    off <= tolerance,
    `${what}: off by ${off} where the largest value is ${largest} (tolerance ${tolerance})`,
  );
}

function compare(
  found: Numbers,
  expected: Numbers,
  what: string,
): [shape: number[], off: number, largest: number] {
  if (isTensor(found) && isTensor(expected)) {
    using _ = scope();
    assert.deepEqual(found.shape, expected.shape, `${what}: shape`);
    if (found.numel() === 0) return [[0], 0, 0];
    const [a, b] = [found, expected].map((one) => one.detach().to("cpu").to(float64)) as [Tensor, Tensor];
    return [found.shape, a.sub(b).abs().max().item(), b.abs().max().item()];
  }
  const [a, b] = [found, expected].map((one) => (typeof one === "number" ? [one] : one)) as [
    number[],
    number[],
  ];
  assert.equal(a.length, b.length, `${what}: length`);
  return [
    [b.length],
    Math.max(...b.map((value, i) => Math.abs(a[i]! - value))),
    Math.max(...b.map(Math.abs)),
  ];
}

const isTensor = (value: Numbers): value is Tensor => typeof value === "object" && "numel" in value;
