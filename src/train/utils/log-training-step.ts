// The guide's line of a training step.
import { formatTrainingStep } from "../../metrics/index.ts";

/** What has a number: a tensor of one element. */
interface Scalar {
  item(): number | bigint | boolean;
}

/** Where the line goes: `console` and every usual logger are such. */
export interface Logger {
  info(line: string): void;
}

/**
 * Logs `Step 100/1000 | Loss: 2.3456`.
 *
 * @example
 * ```ts
 * import { logTrainingStep } from "torchforge";
 *
 * logTrainingStep(100, 1000, 2.3456); // Step 100/1000 | Loss: 2.3456
 * ```
 */
export function logTrainingStep(
  step: number,
  totalSteps: number,
  loss: number | Scalar,
  logger: Logger = console,
): void {
  const value = typeof loss === "number" ? loss : Number(loss.item());
  logger.info(formatTrainingStep(step, totalSteps, value));
}
