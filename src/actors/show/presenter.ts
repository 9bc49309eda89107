// Shows the events of a spawned actor: in a terminal by default. A notebook's kernel installs its own presenter under a global
// symbol, so that it also serves another copy of this package in the user's project.
import type { Config } from "../../config/index.ts";
import { ConsoleReporter } from "../../metrics/index.ts";
import type { ActorEvent } from "../messages/events.ts";
import { ProgressText } from "./progress-text.ts";

export interface Presenter {
  event(event: ActorEvent): void;
  /** The actor is gone and will send no more events. */
  close(): void;
}

/** The actor that a presenter shows, and its controls. */
export interface PresentedActor {
  readonly actorName: string;
  readonly config: Config;
  readonly worldSize: number;
  /** Requests a graceful stop: finish the step, save. */
  stop(): void;
  /** Kills its processes. */
  kill(): void;
}

export type PresenterFactory = (actor: PresentedActor) => Presenter;

export interface TerminalOptions {
  /** Shows steps as a bar, with notes above it. Default: one on standard output, configured by metric_logging. */
  reporter?: ConsoleReporter | undefined;
  /** Sends notes to standard error, so that standard output holds only the result. */
  notesToStderr?: boolean;
  /** False: streamed text is not written; who asked for it has it in the result. */
  showText?: boolean;
}

/** Shows steps as a bar or as lines, rank 0's notes, and all processes' output, prefixed by rank if there are several. */
export class TerminalPresenter implements Presenter {
  readonly #reporter: ConsoleReporter | undefined;
  readonly #notesToStderr: boolean;
  readonly #showText: boolean;
  readonly #worldSize: number;
  readonly #progress = new ProgressText();

  constructor(actor: PresentedActor, options: TerminalOptions = {}) {
    this.#worldSize = actor.worldSize;
    this.#notesToStderr = options.notesToStderr ?? false;
    this.#showText = options.showText ?? true;
    this.#reporter = options.reporter ?? (this.#notesToStderr ? undefined : consoleReporter(actor.config));
  }

  event(event: ActorEvent): void {
    if (event.type === "log") {
      const text = `${this.#worldSize > 1 ? `[rank ${event.rank}] ` : ""}${event.text}`;
      // If both streams are the terminal, the line must go above the bar.
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
    } else if (event.type === "text" && this.#showText) {
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

/** A console reporter configured by metric_logging. */
export function consoleReporter(config: Config): ConsoleReporter {
  const { console, everySteps: everyNSteps } = config.spec.metricLogging;
  return new ConsoleReporter({
    output: process.stdout,
    everyNSteps,
    ...(console ? {} : { bar: false, everyNSteps: Infinity }),
  });
}

/** Where a host such as a notebook's kernel installs its factory. */
const hostSymbol = Symbol.for("torchforge.presenter");

let factory: PresenterFactory | undefined;

function currentFactory(): PresenterFactory {
  const host = (globalThis as { [hostSymbol]?: PresenterFactory })[hostSymbol];
  return factory ?? host ?? ((actor) => new TerminalPresenter(actor));
}

/** Sets the presenter of actors spawned from now on in this process. Returns the previous factory. */
export function setPresenter(next: PresenterFactory): PresenterFactory {
  const before = currentFactory();
  factory = next;
  return before;
}

export const makePresenter: PresenterFactory = (actor) => currentFactory()(actor);
