// Shows a run in the terminal: a progress bar with the latest step's numbers, and permanent lines above it; only lines if the
// output is no terminal. Respects NO_COLOR. No library both keeps a bar below running text and stays out of files.
import pc from "picocolors";

import { formatCount, formatDuration, formatEval, formatNumber, formatStep } from "./format.ts";
import type { MetricRecord, MetricSink, StepRecord } from "./record.ts";

/** The part of a stream that is needed, such as process.stderr. */
export interface Output {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
}

export interface ConsoleOptions {
  output?: Output;
  /** Draw a bar. Default: if the output is a terminal. */
  bar?: boolean;
  /** Default: if the bar is drawn and NO_COLOR is not set. */
  color?: boolean;
  /** Without a bar: print every n-th step, and always the first and last. */
  everyNSteps?: number;
  /** Clock in milliseconds; for tests. */
  now?: () => number;
}

const redrawMs = 100;

export class ConsoleReporter implements MetricSink {
  readonly #output: Output;
  readonly #bar: boolean;
  readonly #everyNSteps: number;
  readonly #now: () => number;
  readonly #colors: ReturnType<typeof pc.createColors>;
  #drawn = false;
  #drawnAt = -Infinity;
  #first: number | undefined;
  #last: StepRecord | undefined;

  constructor(options: ConsoleOptions = {}) {
    this.#output = options.output ?? process.stderr;
    this.#bar = options.bar ?? (this.#output.isTTY === true && process.env["TERM"] !== "dumb");
    this.#everyNSteps = options.everyNSteps ?? 1;
    this.#now = options.now ?? (() => performance.now());
    const noColor = process.env["NO_COLOR"] !== undefined && process.env["NO_COLOR"] !== "";
    this.#colors = pc.createColors(options.color ?? (this.#bar && !noColor));
  }

  write(record: MetricRecord): void {
    if (record.kind === "eval") {
      this.line(this.#colors.cyan(formatEval(record)));
      return;
    }
    this.#last = record;
    this.#first ??= record.step;
    const isEnd = record.step >= record.steps;
    if (this.#bar) {
      const now = this.#now();
      if (!isEnd && now - this.#drawnAt < redrawMs) return;
      this.#drawnAt = now;
      this.#draw();
    } else if (isEnd || record.step === this.#first || record.step % this.#everyNSteps === 0) {
      this.#output.write(`${formatStep(record)}\n`);
    }
  }

  /** Prints a permanent line above the bar. */
  line(text: string): void {
    this.#clear();
    this.#output.write(`${text}\n`);
    if (this.#bar && this.#last !== undefined) this.#draw();
  }

  /** Leaves the last state of the bar on the screen. */
  close(): void {
    if (!this.#bar || this.#last === undefined) return;
    this.#draw();
    this.#output.write("\n");
    this.#drawn = false;
    this.#last = undefined;
  }

  #clear(): void {
    if (this.#drawn) this.#output.write("\r\u001B[2K");
    this.#drawn = false;
  }

  #draw(): void {
    // A terminal that doesn't know its size reports 0.
    const text = barLine(this.#last!, this.#output.columns || 80, this.#colors);
    this.#output.write(`\r\u001B[2K${text}`);
    this.#drawn = true;
  }
}

type Colors = Pick<ReturnType<typeof pc.createColors>, "green" | "dim" | "bold">;

/** One line of at most `columns` - 1 characters (without colors). The bar takes the space that the numbers leave. */
export function barLine(record: StepRecord, columns: number, colors: Colors): string {
  const { step, steps } = record;
  const isEnd = step >= steps;
  const parts = [
    `loss ${record.loss.toFixed(4)}`,
    `lr ${record.learning_rate.toExponential(1)}`,
    `grad norm ${formatNumber(record.grad_norm)}`,
    `${formatCount(record.tokens_per_second)} tokens/s`,
    isEnd ? "done" : `${formatDuration(record.seconds_left)} left`,
  ];
  const percent = `${Math.floor((100 * step) / Math.max(1, steps))}%`.padStart(4);
  const count = `${String(step).padStart(String(steps).length)}/${steps}`;
  // A line that is too long can't be redrawn in place, so the least important numbers are dropped.
  const dropOrder = [1, 2, 3, 4, 0];
  let shownParts = parts.map((_, i) => i);
  const textOf = () => [count, ...shownParts.map((i) => parts[i]!)].join(" | ");
  const minBar = 5;
  for (const drop of dropOrder) {
    if (percent.length + 1 + minBar + 1 + textOf().length < columns) break;
    shownParts = shownParts.filter((i) => i !== drop);
  }
  const text = textOf();
  const barWidth = Math.min(30, columns - 1 - percent.length - text.length - 2);
  if (barWidth < minBar) return `${percent} ${text}`.slice(0, Math.max(0, columns - 1));
  const filled = Math.round((barWidth * Math.min(step, steps)) / Math.max(1, steps));
  const bar = colors.green("█".repeat(filled)) + colors.dim("░".repeat(barWidth - filled));
  return `${percent} ${bar} ${text}`;
}
