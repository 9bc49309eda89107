// Checks a function's gradients against finite differences, in float64. For tests of operators: it calls the function twice
// per input element, so it is slow.
import { grad, noGrad } from "./autograd.ts";
import { float64 } from "./dtype.ts";
import { ArgumentError } from "./errors.ts";
import * as F from "./generated/functions.ts";
import { scope } from "./scope.ts";
import type { Tensor } from "./tensor/tensor.ts";

export interface GradcheckOptions {
  /** Step of the finite differences. Default 1e-6. */
  eps?: number;
  /** Allowed difference: `atol + rtol * |numerical|`. Defaults 1e-5 and 1e-3, as in torch.autograd.gradcheck. */
  atol?: number;
  rtol?: number;
}

type Fn = (...inputs: Tensor[]) => Tensor | readonly Tensor[];

const listOf = (result: Tensor | readonly Tensor[]): readonly Tensor[] =>
  Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor];

const values = (tensor: Tensor) => tensor.detach().contiguous().toTypedArray({ copy: true }) as Float64Array;

/**
 * Checks that the gradients of `fn` agree with central differences, for every pair of an output and an input element. Inputs
 * that require gradients must be contiguous and float64, and `fn` must be deterministic.
 * @throws Error that names the first element that differs, ArgumentError for unsuitable inputs
 *
 * @example
 * ```ts
 * import { float64, gradcheck, randn } from "torchforge/torch";
 *
 * const x = randn([3, 4], { dtype: float64 }).requiresGrad_();
 * gradcheck((one) => one.tanh(), [x]); // throws where gradient and differences disagree
 * ```
 */
export function gradcheck(fn: Fn, inputs: readonly Tensor[], options: GradcheckOptions = {}): true {
  const { eps = 1e-6, atol = 1e-5, rtol = 1e-3 } = options;
  const checked = inputs.filter((input) => input.requiresGrad);
  if (checked.length === 0)
    throw new ArgumentError("gradcheck: expected an input that requires gradients, found none");
  for (const input of checked) {
    if (input.dtype !== float64 || !input.isContiguous() || !input.isLeaf)
      throw new ArgumentError(
        `gradcheck: expected contiguous float64 leaves, found ${input.dtype.name}: differences of ${input.dtype.name} are too coarse`,
      );
  }
  using _ = scope();
  const outputs = listOf(fn(...inputs)).filter((output) => output.requiresGrad);
  // analytic[output][element][input]: the gradient of one output element with respect to an input
  const analytic = outputs.map((output) =>
    Array.from({ length: output.numel() }, (_, at) => {
      const weight = F.zerosLike(output, { memoryFormat: "contiguous" });
      weight.view([-1]).index([at]).fill_(1);
      const gradients = grad(output, checked, weight, { retainGraph: true, allowUnused: true });
      return gradients.map((one) => (one === undefined ? undefined : values(one)));
    }),
  );
  const evaluate = () =>
    noGrad(() =>
      listOf(fn(...inputs))
        .filter((_, i) => outputs[i] !== undefined)
        .map(values),
    );
  for (const [i, input] of checked.entries()) {
    const flat = input.detach().view([-1]);
    for (let at = 0; at < input.numel(); at++) {
      using _ = scope();
      const element = flat.index([at]);
      const before = element.item();
      element.fill_(before + eps);
      const above = evaluate();
      element.fill_(before - eps);
      const below = evaluate();
      element.fill_(before);
      for (const [o, rows] of analytic.entries()) {
        for (const [row, gradients] of rows.entries()) {
          const numerical = (above[o]![row]! - below[o]![row]!) / (2 * eps);
          const found = gradients[i]?.[at] ?? 0;
          if (Math.abs(found - numerical) <= atol + rtol * Math.abs(numerical)) continue;
          throw new Error(
            `gradcheck: output ${o}, element ${row}, by input ${i}, element ${at}: expected ${numerical} (differences), found ${found} (backward)`,
          );
        }
      }
    }
  }
  return true;
}
