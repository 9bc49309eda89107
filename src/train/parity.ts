// The parity gate of exports: what was written is read again, and its logits are compared with those of the model in memory.
import type { Tokenizer } from "../data/index.ts";
import type { Decoder } from "../models/index.ts";
import {
  argmax,
  cat,
  float32,
  fromTypedArray,
  inferenceMode,
  int64,
  scope,
  type Tensor,
} from "../torch/index.ts";
import { UserError } from "../util/index.ts";

/** Of several kinds, and of nobody's training data. */
const texts = [
  "The committee postponed its decision until the weather improved.",
  "def mean(values):\n    return sum(values) / len(values)\n",
  "What is the capital of Australia? The capital of Australia is Canberra.",
  '{"name": "Nora", "item": "lamp", "count": 4, "day": "Friday"}',
  "Am Montag fährt der erste Zug um 5:42 Uhr nach Osnabrück.",
  "SELECT city, COUNT(*) FROM visits GROUP BY city ORDER BY 2 DESC;",
  "1, 1, 2, 3, 5, 8, 13, 21, 34, 55",
  "Dear Ms Okafor, thank you for your letter of 3 March.",
];

/** Largest difference of logits by the type that weights are written in, of the largest logit. Rounding errs by half of its last bit. */
const tolerances = { float32: 1e-4, float16: 2e-2, bfloat16: 1e-1 } as const;

/** Logits of all tokens of eight texts: [n, V], float32, in the current scope. */
export function logitsOfTexts(model: Decoder, tokenizer: Tokenizer): Tensor {
  using s = scope();
  using _ = inferenceMode();
  const { device } = model;
  const rows = texts.map((text) => tokenizer.encode(text));
  const logits = rows.map((ids) => {
    const tokens = fromTypedArray(BigInt64Array.from(ids, BigInt), [ids.length]).to(device);
    const numbers = BigInt64Array.from(ids.keys(), BigInt);
    const positions = fromTypedArray(numbers, [ids.length]).to(int64).to(device);
    const rope = model.tables(ids.length);
    const hidden = model.hidden(tokens, { positions, lengths: [ids.length] }, rope);
    return model.head.logits(hidden).to({ device: "cpu", dtype: float32 });
  });
  return s.keep(cat(logits));
}

/** The same comparison in figures, for formats whose weights are checked by themselves. @returns a line for the user */
export function compareLogits(
  found: Tensor,
  expected: Tensor,
): { largest: number; scale: number; line: string } {
  using _ = scope();
  const largest = found.sub(expected).abs().max().item();
  const scale = expected.abs().max().item();
  const same = argmax(found, -1).eq(argmax(expected, -1)).to(float32).mean().item();
  const line = `parity      largest difference of logits ${largest.toExponential(1)} (largest logit ${scale.toFixed(1)}), greedy tokens agree ${(100 * same).toFixed(1)} %, over ${texts.length} texts read from the export`;
  return { largest, scale, line };
}

/**
 * Compares what was written with what it was written from.
 * @param where the folder, for the message
 * @returns a line for the user
 * @throws UserError beyond the tolerance of the type that was written
 */
export function checkParity(
  found: Tensor,
  expected: Tensor,
  dtype: keyof typeof tolerances,
  where: string,
): string {
  const { largest, scale, line } = compareLogits(found, expected);
  if (largest <= tolerances[dtype] * scale) return line;
  throw new UserError(
    `${where}: what was written doesn't compute what the model in memory does: ${line.slice(12)}. Expected a difference of at most ${(tolerances[dtype] * scale).toExponential(1)} in ${dtype}. Keep the checkpoint, don't use this export, and please report it.`,
  );
}
