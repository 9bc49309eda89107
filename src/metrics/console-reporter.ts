// Shows a run in the terminal: a progress bar with the last step's numbers and, above it, lines that stay; plain lines
// where the output is no terminal. NO_COLOR is honoured. Own code, because no library both draws under running text and
// stays out of files; it is small. It holds no state of the run: records come in, text goes out.
import pc from "picocolors";

import { formatCount, formatDuration, formatEval, formatNumber, formatStep } from "./format.ts";
import type { MetricRecord, MetricSink, StepRecord } from "./record.ts";

/** The part of a stream that is needed; process.stderr is one. */
export interface Output {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
}

export interface ConsoleOptions {
  output?: Output;
  /** Draw a bar; default: where the output is a terminal. */
  bar?: boolean;
  /** Default: where the bar is drawn and NO_COLOR is not set. */
  color?: boolean;
  /** Without a bar, a line every so many steps. The first and the last step always have one. */
  everyNSteps?: number;
  /** Milliseconds; for tests. */
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

  /** A line that stays, above the bar. */
  line(text: string): void {
    this.#clear();
    this.#output.write(`${text}\n`);
    if (this.#bar && this.#last !== undefined) this.#draw();
  }

  /** Leaves the last state of the bar on the screen, as a line. */
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
    // A terminal that doesn't know its size says 0.
    const text = barLine(this.#last!, this.#output.columns || 80, this.#colors);
    this.#output.write(`\r\u001B[2K${text}`);
    this.#drawn = true;
  }
}

type Colors = Pick<ReturnType<typeof pc.createColors>, "green" | "dim" | "bold">;

/** One line of at most `columns` - 1 characters (without colors): numbers first, the bar takes what is left. */
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
  // Drop what is said least often before the line gets too long to be redrawn in place.
  const dropOrder = [1, 2, 3, 4, 0];
  let shown = parts.map((_, i) => i);
  const textOf = () => [count, ...shown.map((i) => parts[i]!)].join(" | ");
  const minBar = 5;
  for (const drop of dropOrder) {
    if (percent.length + 1 + minBar + 1 + textOf().length < columns) break;
    shown = shown.filter((i) => i !== drop);
  }
  const text = textOf();
  const room = Math.min(30, columns - 1 - percent.length - text.length - 2);
  if (room < minBar) return `${percent} ${text}`.slice(0, Math.max(0, columns - 1));
  const filled = Math.round((room * Math.min(step, steps)) / Math.max(1, steps));
  const bar = colors.green("█".repeat(filled)) + colors.dim("░".repeat(room - filled));
  return `${percent} ${bar} ${text}`;
}
