// Shows the events of a spawned actor to a person. In a terminal by default; a notebook's kernel puts its own in place, which
// is found through a global symbol, so that it also serves a copy of this package that the user's project has.
import type { Config } from "../../config/index.ts";
import { ConsoleReporter } from "../../metrics/index.ts";
import type { ActorEvent } from "../messages/events.ts";
import { ProgressText } from "./progress-text.ts";

export interface Presenter {
  event(event: ActorEvent): void;
  /** The actor is gone; there is nothing more to show. */
  close(): void;
}

/** What is shown of. */
export interface Shown {
  readonly actorName: string;
  readonly config: Config;
  readonly worldSize: number;
  /** Asks the actor to end in good order: finish the step, save. */
  stop(): void;
  /** Ends its processes at once. */
  kill(): void;
}

export type PresenterFactory = (shown: Shown) => Presenter;

export interface TerminalOptions {
  /** Shows steps, and notes above its bar. Default: one on standard output, as metric_logging says. */
  reporter?: ConsoleReporter | undefined;
  /** Notes go to standard error, so that standard output is the result alone. */
  notesToStderr?: boolean;
}

/** Steps as a bar or as lines, notes of rank 0, and what the processes write, with its rank where there are several. */
export class TerminalPresenter implements Presenter {
  readonly #reporter: ConsoleReporter | undefined;
  readonly #notesToStderr: boolean;
  readonly #worldSize: number;
  readonly #progress = new ProgressText();

  constructor(shown: Shown, options: TerminalOptions = {}) {
    this.#worldSize = shown.worldSize;
    this.#notesToStderr = options.notesToStderr ?? false;
    this.#reporter = options.reporter ?? (this.#notesToStderr ? undefined : consoleReporter(shown.config));
  }

  event(event: ActorEvent): void {
    if (event.type === "log") {
      const text = `${this.#worldSize > 1 ? `[rank ${event.rank}] ` : ""}${event.text}`;
      // Where both are one terminal, above the bar.
      if (this.#reporter && (event.stream === "stdout" || (process.stderr.isTTY && process.stdout.isTTY)))
        this.#reporter.line(text);
      else process[event.stream].write(`${text}\n`);
    } else if (event.type === "restart") {
      this.#line(
        `${event.reason}\nstarting again from the last checkpoint (restart ${event.attempt} of ${event.of})`,
      );
    } else if (event.type === "phase" || event.rank !== 0) {
      return;
    } else if (event.type === "record") {
      this.#reporter?.write(event.record);
    } else if (event.type === "note") {
      this.#line(event.text);
    } else if (event.type === "progress") {
      const line = this.#progress.next(event.done, event.total, event.label);
      if (line !== undefined) this.#line(line);
    } else if (event.type === "text") {
      process.stdout.write(event.text);
    }
  }

  close(): void {
    this.#reporter?.close();
  }

  #line(text: string): void {
    if (this.#reporter) this.#reporter.line(text);
    else if (this.#notesToStderr) process.stderr.write(`${text}\n`);
    else process.stdout.write(`${text}\n`);
  }
}

/** The terminal as metric_logging wants it. */
export function consoleReporter(config: Config): ConsoleReporter {
  const { console, everySteps: everyNSteps } = config.spec.metricLogging;
  return new ConsoleReporter({
    output: process.stdout,
    everyNSteps,
    ...(console ? {} : { bar: false, everyNSteps: Infinity }),
  });
}

/** Where a host such as a notebook's kernel puts its factory. */
const hostSymbol = Symbol.for("torchforge.presenter");

let chosen: PresenterFactory | undefined;

function current(): PresenterFactory {
  const host = (globalThis as { [hostSymbol]?: PresenterFactory })[hostSymbol];
  return chosen ?? host ?? ((shown) => new TerminalPresenter(shown));
}

/** Sets how actors are shown that are spawned from now on in this process. Returns what it was. */
export function setPresenter(next: PresenterFactory): PresenterFactory {
  const before = current();
  chosen = next;
  return before;
}

export const makePresenter: PresenterFactory = (shown) => current()(shown);
