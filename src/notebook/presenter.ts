// Shows a spawned actor in the cells of a notebook: the last lines during setup(), progress, charts and the last lines during
// run(), then a summary. An interrupt of such a cell stops the actor gracefully. The kernel installs it at its start
// (installPresenter); actors know nothing of it.
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

/** The phase in progress, and its outputs. */
interface View {
  readonly phase: Phase;
  readonly startedAt: number;
  readonly state: PhaseState;
  readonly progress: LiveOutput;
  readonly chart: LiveOutput;
  readonly summary: LiveOutput;
  readonly interrupt: Disposable;
}

/** A chart costs a hundred times as much as a line of progress, to draw, send and show. */
const chartMs = 2000;

const titles: Record<Phase, string> = {
  spawn: "starting",
  setup: "setting up",
  run: "running",
  cleanup: "cleaning up",
};

export class NotebookPresenter implements Presenter {
  readonly #actor: PresentedActor;
  readonly #screen: Screen;
  /** Runs code outside of any cell's context, so that its output goes to the running cell. */
  readonly #outsideCell: (write: () => void) => void;
  #view: View | undefined;
  #folder: string | undefined;
  #checkpoint: string | undefined;

  constructor(
    actor: PresentedActor,
    screen: Screen,
    outsideCell: (write: () => void) => void = (write) => write(),
  ) {
    this.#actor = actor;
    this.#screen = screen;
    this.#outsideCell = outsideCell;
  }

  event(event: ActorEvent): void {
    if (event.type === "phase") {
      if (event.state === "begun") this.#begin(event.phase);
      else this.#end(event.state);
    } else if (event.type === "log") {
      const prefix = this.#actor.worldSize > 1 ? `[rank ${event.rank}] ` : "";
      this.#line(`${prefix}${event.text}`);
    } else if (event.type === "restart") {
      this.#line(
        `${event.reason}\nstarting again from the last checkpoint (restart ${event.attempt} of ${event.of})`,
      );
    } else if (event.rank === 0) {
      this.#onMessage(event);
    }
  }

  close(): void {
    if (this.#view) this.#end("failed");
  }

  #onMessage(event: Extract<ActorEvent, { rank: number }>): void {
    const view = this.#view;
    if (event.type === "note") this.#line(event.text);
    else if (event.type === "text") this.#outsideCell(() => void process.stdout.write(event.text));
    else if (event.type === "folder") this.#folder = event.path;
    else if (event.type === "checkpoint") this.#checkpoint = event.path;
    else if (event.type === "progress" && view) {
      view.state.progress = event;
      view.progress.requestUpdate();
    } else if (event.type === "record") {
      const { record } = event;
      if (!view) return this.#line(record.kind === "train" ? formatStep(record) : formatEval(record));
      view.state.records.push(record);
      if (record.kind === "eval") view.state.line(formatEval(record));
      else view.state.progress = { done: record.step, total: record.steps, label: "step" };
      view.progress.requestUpdate();
      if (view.state.records.some(({ kind }) => kind === "train")) view.chart.requestUpdate();
    }
  }

  #line(text: string): void {
    if (this.#view === undefined) return this.#outsideCell(() => void process.stdout.write(`${text}\n`));
    this.#view.state.line(text);
    this.#view.progress.requestUpdate();
  }

  #begin(phase: Phase): void {
    const state = new PhaseState(`${titles[phase]} ${this.#actor.actorName}`);
    const output = (draw: () => Record<string, string>, minIntervalMs?: number): LiveOutput =>
      new LiveOutput(this.#screen, randomUUID(), draw, minIntervalMs);
    const view: View = {
      phase,
      startedAt: performance.now(),
      state,
      progress: output(() => progressBundle(state)),
      chart: output(() => chartBundle(state.records), chartMs),
      summary: output(() => this.#summary(view)),
      interrupt: this.#screen.onInterrupt(() => this.#onInterrupt(view)),
    };
    this.#view = view;
    if (phase === "setup" || phase === "run") view.progress.flush();
  }

  #onInterrupt({ state, progress }: View): void {
    if (state.isStopping) return this.#actor.kill();
    state.isStopping = true;
    progress.flush();
    this.#actor.stop();
  }

  #end(outcome: "done" | "failed"): void {
    const view = this.#view;
    if (view === undefined) return;
    this.#view = undefined;
    view.interrupt[Symbol.dispose]();
    const { phase, state } = view;
    const duration = formatDuration((performance.now() - view.startedAt) / 1000);
    const step = state.records.findLast((record) => record.kind === "train");
    state.outcome =
      outcome === "failed"
        ? `failed while ${state.title}${step ? ` after step ${step.step} of ${step.steps}` : ""}`
        : step
          ? `${step.step < step.steps ? "stopped" : "finished"} after step ${step.step} of ${step.steps}`
          : `${state.title}: done in ${duration}`;
    // A failure is shown by the cell's error. Spawn and cleanup are only shown if they printed something.
    const isShown = phase === "setup" || phase === "run" || state.lines.length > 0;
    if (isShown) view.progress.flush();
    view.chart.end();
    if (step) {
      this.#plot();
      view.summary.flush();
    }
  }

  #summary({ startedAt: begun, state }: View): Record<string, string> {
    return summaryBundle({
      records: state.records,
      seconds: (performance.now() - begun) / 1000,
      folder: this.#folder,
      checkpoint: this.#checkpoint,
    });
  }

  /** Writes the charts of the whole run, including the part before a resume, to its folder. */
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

/** Makes the screen show all actors spawned from now on. A kernel calls it before the first cell. */
export function installPresenter(screen: Screen): void {
  const outsideCell = AsyncLocalStorage.snapshot();
  const factory: PresenterFactory = (actor) => new NotebookPresenter(actor, screen, outsideCell);
  Object.defineProperty(globalThis, Symbol.for("torchforge.presenter"), {
    value: factory,
    configurable: true,
  });
}
