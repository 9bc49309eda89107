// Helpers of this folder's tests. Not shipped.
import type { StepRecord } from "../metrics/index.ts";
import type { Screen } from "./live-output.ts";

type Message = Parameters<Screen["display"]>[0];

/** A screen that records its outputs, in order, each as it was last drawn. */
export class TestScreen implements Screen {
  readonly outputs = new Map<string, Readonly<Record<string, unknown>>>();
  readonly handlers = new Set<() => void>();
  /** Number of display calls. */
  drawn = 0;

  display({ data, displayId, update }: Message): void {
    if (update === true && !this.outputs.has(displayId!)) throw new Error("an update of what is not there");
    this.drawn++;
    this.outputs.set(displayId!, data);
  }

  onInterrupt(handler: () => void): Disposable {
    this.handlers.add(handler);
    return { [Symbol.dispose]: () => void this.handlers.delete(handler) };
  }

  interrupt(): void {
    for (const handler of this.handlers) handler();
  }

  /** The outputs from top to bottom in one media type. */
  all(type = "text/plain"): string[] {
    return [...this.outputs.values()].map((data) => (data[type] as string | undefined) ?? "");
  }
}

export function stepRecord(step: number, changes: Partial<StepRecord> = {}): StepRecord {
  return {
    kind: "train",
    step,
    steps: 100,
    time: 1_700_000_000 + step,
    loss: 3 / step,
    learning_rate: 1e-5,
    grad_norm: 1.25,
    num_tokens: 512 * step,
    tokens_per_second: 400,
    step_seconds: 1.28,
    seconds_left: 1.28 * (100 - step),
    ...changes,
  };
}
