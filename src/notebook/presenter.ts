// Shows a spawned actor in the cells of a notebook, without a word of the user's: while setup() runs its last lines, while
// run() runs progress, chart and last lines, then a summary. An interrupt of such a cell ends the actor in good order.
// The kernel puts it in place when it starts (installPresenter); an actor knows nothing of it.
import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import type { ActorEvent, Phase, Presenter, PresenterFactory, PresentedActor } from "../actors/index.ts";
import { findRun, formatDuration, formatEval, formatStep, plotHtml, plotSvg } from "../metrics/index.ts";
import { messageOf } from "../util/index.ts";
import { chartBundle } from "./chart.ts";
import { LiveOutput, type Screen } from "./live-output.ts";
import { PhaseState, progressBundle } from "./run-view.ts";
import { summaryBundle } from "./summary.ts";

/** The phase that is under way, with what is shown of it. */
interface View {
  readonly phase: Phase;
  readonly begun: number;
  readonly state: PhaseState;
  readonly progress: LiveOutput;
  readonly chart: LiveOutput;
  readonly summary: LiveOutput;
  readonly interrupt: Disposable;
}

/** A chart is a hundred times the work of a line of progress, for drawing, sending and showing it. */
const chartMs = 2000;

const titles: Record<Phase, string> = {
  spawn: "starting",
  setup: "setting up",
  run: "running",
  cleanup: "cleaning up",
};

export class NotebookPresenter implements Presenter {
  readonly #shown: PresentedActor;
  readonly #screen: Screen;
  /** Of no cell: what is written here belongs to the one that is running. */
  readonly #inNoCell: (write: () => void) => void;
  #view: View | undefined;
  #folder: string | undefined;
  #checkpoint: string | undefined;

  constructor(
    shown: PresentedActor,
    screen: Screen,
    inNoCell: (write: () => void) => void = (write) => write(),
  ) {
    this.#shown = shown;
    this.#screen = screen;
    this.#inNoCell = inNoCell;
  }

  event(event: ActorEvent): void {
    if (event.type === "phase") {
      if (event.state === "begun") this.#begin(event.phase);
      else this.#end(event.state);
    } else if (event.type === "log") {
      const prefix = this.#shown.worldSize > 1 ? `[rank ${event.rank}] ` : "";
      this.#line(`${prefix}${event.text}`);
    } else if (event.type === "restart") {
      this.#line(
        `${event.reason}\nstarting again from the last checkpoint (restart ${event.attempt} of ${event.of})`,
      );
    } else if (event.rank === 0) {
      this.#heard(event);
    }
  }

  close(): void {
    if (this.#view) this.#end("failed");
  }

  #heard(event: Extract<ActorEvent, { rank: number }>): void {
    const view = this.#view;
    if (event.type === "note") this.#line(event.text);
    else if (event.type === "text") this.#inNoCell(() => void process.stdout.write(event.text));
    else if (event.type === "folder") this.#folder = event.path;
    else if (event.type === "checkpoint") this.#checkpoint = event.path;
    else if (event.type === "progress" && view) {
      view.state.progress = event;
      view.progress.changed();
    } else if (event.type === "record") {
      const { record } = event;
      if (!view) return this.#line(record.kind === "train" ? formatStep(record) : formatEval(record));
      view.state.records.push(record);
      if (record.kind === "eval") view.state.line(formatEval(record));
      else view.state.progress = { done: record.step, total: record.steps, label: "step" };
      view.progress.changed();
      if (view.state.records.some(({ kind }) => kind === "train")) view.chart.changed();
    }
  }

  #line(text: string): void {
    if (this.#view === undefined) return this.#inNoCell(() => void process.stdout.write(`${text}\n`));
    this.#view.state.line(text);
    this.#view.progress.changed();
  }

  #begin(phase: Phase): void {
    const state = new PhaseState(`${titles[phase]} ${this.#shown.actorName}`);
    const output = (draw: () => Record<string, string>, shortestMs?: number): LiveOutput =>
      new LiveOutput(this.#screen, randomUUID(), draw, shortestMs);
    const view: View = {
      phase,
      begun: performance.now(),
      state,
      progress: output(() => progressBundle(state)),
      chart: output(() => chartBundle(state.records), chartMs),
      summary: output(() => this.#summary(view)),
      interrupt: this.#screen.onInterrupt(() => this.#interrupted(view)),
    };
    this.#view = view;
    if (phase === "setup" || phase === "run") view.progress.flush();
  }

  #interrupted({ state, progress }: View): void {
    if (state.isStopping) return this.#shown.kill();
    state.isStopping = true;
    progress.flush();
    this.#shown.stop();
  }

  #end(how: "done" | "failed"): void {
    const view = this.#view;
    if (view === undefined) return;
    this.#view = undefined;
    view.interrupt[Symbol.dispose]();
    const { phase, state } = view;
    const took = formatDuration((performance.now() - view.begun) / 1000);
    const step = state.records.findLast((record) => record.kind === "train");
    state.outcome =
      how === "failed"
        ? `failed while ${state.title}${step ? ` after step ${step.step} of ${step.steps}` : ""}`
        : step
          ? `${step.step < step.steps ? "stopped" : "finished"} after step ${step.step} of ${step.steps}`
          : `${state.title}: done in ${took}`;
    // What failed is told by the cell's error; spawn and cleanup say nothing unless there was something to say.
    const isShown = phase === "setup" || phase === "run" || state.lines.length > 0;
    if (isShown) view.progress.flush();
    view.chart.end();
    if (step) {
      this.#plot();
      view.summary.flush();
    }
  }

  #summary({ begun, state }: View): Record<string, string> {
    return summaryBundle({
      records: state.records,
      seconds: (performance.now() - begun) / 1000,
      folder: this.#folder,
      checkpoint: this.#checkpoint,
    });
  }

  /** The charts of the whole run, also of what came before a resume, in its folder. */
  #plot(): void {
    if (this.#folder === undefined) return;
    try {
      const { run, records } = findRun(this.#folder, this.#folder);
      const runs = [{ run, records, name: run.name }];
      writeFileSync(join(this.#folder, "plot.svg"), plotSvg(runs));
      writeFileSync(join(this.#folder, "plot.html"), plotHtml(runs));
    } catch (error) {
      process.stderr.write(`no plot is written: ${messageOf(error)}\n`);
    }
  }
}

/** From now on actors that are spawned in this process are shown on the screen. For a kernel, before the first cell. */
export function installPresenter(screen: Screen): void {
  const inNoCell = AsyncLocalStorage.snapshot();
  const factory: PresenterFactory = (shown) => new NotebookPresenter(shown, screen, inNoCell);
  Object.defineProperty(globalThis, Symbol.for("torchforge.presenter"), {
    value: factory,
    configurable: true,
  });
}
