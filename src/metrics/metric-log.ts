// Writes records to all sinks that metric_logging configures, every so many steps. A sink that fails (a full disk) is reported
// once and dropped: lost metrics are no reason to end a training.
import { join } from "node:path";

import { messageOf } from "../util/index.ts";
import { ConsoleReporter, type ConsoleOptions } from "./console-reporter.ts";
import { MetricsFile } from "./metrics-file.ts";
import type { MetricRecord, MetricSink } from "./record.ts";
import { TensorBoardWriter } from "./tfevents.ts";

/** The configuration section metric_logging, resolved. */
export interface MetricLogging {
  readonly everySteps: number;
  readonly console: boolean;
  readonly jsonl: boolean;
  /** Folder of the event files; undefined to write none. */
  readonly tensorboard: string | undefined;
}

/** The part of RunFolder that is used here. */
interface Folder {
  readonly path: string;
  resolve(path: string): string;
}

export class MetricLog implements MetricSink {
  readonly #sinks: Map<string, MetricSink>;
  readonly #everyNSteps: number;
  readonly #onFailure: (message: string) => void;
  #isFirst = true;

  /** @param sinks sinks by the name under which a failure is reported */
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
   * Opens the sinks of a run.
   * @param resumedStep the step that the run resumes from; 0 for a new run
   * @param terminal options of the terminal; false if another process shows the run
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

  /** Writes every evaluation, every n-th step, and the first and last step. */
  write(record: MetricRecord): void {
    if (record.kind === "train") {
      const isDue = this.#isFirst || record.step >= record.steps || record.step % this.#everyNSteps === 0;
      this.#isFirst = false;
      if (!isDue) return;
    }
    this.#each((sink) => sink.write(record));
  }

  /** Prints a line above the progress bar, if there is a terminal. */
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
