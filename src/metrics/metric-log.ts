// All sinks of a run behind one: what metric_logging asks for, every so many steps. A sink that fails (a full disk) is
// left out from then on and named once: numbers that are not written are no reason to end a training.
import { join } from "node:path";

import { messageOf } from "../util/index.ts";
import { ConsoleReporter, type ConsoleOptions } from "./console-reporter.ts";
import { MetricsFile } from "./metrics-file.ts";
import type { MetricRecord, MetricSink } from "./record.ts";
import { TensorBoardWriter } from "./tfevents.ts";

/** The section metric_logging of a configuration, resolved. */
export interface MetricLogging {
  readonly everySteps: number;
  readonly console: boolean;
  readonly jsonl: boolean;
  /** Folder of the event files; undefined: none are written. */
  readonly tensorboard: string | undefined;
}

/** A run's folder; RunFolder is one. */
interface Folder {
  readonly path: string;
  resolve(path: string): string;
}

export class MetricLog implements MetricSink {
  readonly #sinks: Map<string, MetricSink>;
  readonly #everyNSteps: number;
  readonly #onFailure: (message: string) => void;
  #isFirst = true;

  /** Sinks by the name that a failure is reported under. */
  constructor(
    sinks: Readonly<Record<string, MetricSink>>,
    everyNSteps = 1,
    onFailure: (message: string) => void = console.error,
  ) {
    this.#sinks = new Map(Object.entries(sinks));
    this.#everyNSteps = everyNSteps;
    this.#onFailure = onFailure;
  }

  /**
   * The sinks of a run.
   * @param resumedStep the step that the run goes on from, 0 for a new one
   * @param terminal where the terminal is; false where another process shows the run
   */
  static open(
    logging: MetricLogging,
    folder: Folder,
    resumedStep: number,
    terminal: ConsoleOptions | false = {},
  ): MetricLog {
    const sinks: Record<string, MetricSink> = {};
    const reporter = terminal !== false && logging.console ? new ConsoleReporter(terminal) : undefined;
    if (reporter !== undefined) sinks["terminal"] = reporter;
    if (logging.jsonl) {
      sinks["metrics.jsonl"] = new MetricsFile(join(folder.path, "metrics.jsonl"), resumedStep);
    }
    if (logging.tensorboard !== undefined) {
      sinks["TensorBoard"] = new TensorBoardWriter(folder.resolve(logging.tensorboard), resumedStep);
    }
    return new MetricLog(sinks, logging.everySteps, (message) => {
      if (reporter === undefined) console.error(message);
      else reporter.line(message);
    });
  }

  /** Every evaluation, and every n-th step; the first and the last step always. */
  write(record: MetricRecord): void {
    if (record.kind === "train") {
      const isWanted = this.#isFirst || record.step >= record.steps || record.step % this.#everyNSteps === 0;
      this.#isFirst = false;
      if (!isWanted) return;
    }
    this.#each((sink) => sink.write(record));
  }

  /** A line that stays on the terminal; nothing where there is none. */
  line(text: string): void {
    const terminal = this.#sinks.get("terminal");
    if (terminal instanceof ConsoleReporter) terminal.line(text);
  }

  close(): void {
    this.#each((sink) => sink.close());
    this.#sinks.clear();
  }

  #each(act: (sink: MetricSink) => void): void {
    for (const [name, sink] of this.#sinks) {
      try {
        act(sink);
      } catch (error) {
        this.#sinks.delete(name);
        this.#onFailure(`${name} is not written any more: ${messageOf(error)}; training goes on`);
      }
    }
  }
}
