// What a job may tell while it runs, and how it learns that it should end.
import type { MetricRecord } from "../../metrics/index.ts";

export interface JobContext {
  /** A line for the user. */
  readonly note: (text: string) => void;
  /** Text as it comes, without a line's end. */
  readonly text: (text: string) => void;
  readonly record: (record: MetricRecord) => void;
  /** Called once when the user asks to stop; at once if that was before. */
  readonly onStop: (action: () => void) => void;
}
