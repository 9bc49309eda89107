// Renders one phase of an actor for a cell: progress and the last lines. presenter.ts updates the state from events; charts
// and the summary are in chart.ts and summary.ts.
import { stripVTControlCharacters } from "node:util";

import { formatCount, formatDuration, formatNumber, type MetricRecord } from "../metrics/index.ts";
import { escapeXml } from "../view/index.ts";

const maxLines = 12;

/** The state of a phase, in progress or ended. */
export class PhaseState {
  readonly title: string;
  readonly records: MetricRecord[] = [];
  readonly #lines: string[] = [];
  progress: { done: number; total: number; label: string } | undefined;
  /** The user requested a graceful stop. */
  isStopping = false;
  /** How the phase ended, as a sentence. */
  outcome: string | undefined;

  /** @param title such as "setting up TrainerActor" */
  constructor(title: string) {
    this.title = title;
  }

  line(text: string): void {
    this.#lines.push(...stripVTControlCharacters(text).split("\n"));
    this.#lines.splice(0, this.#lines.length - maxLines);
  }

  get lines(): readonly string[] {
    return this.#lines;
  }
}

/** Progress and the last lines, as HTML and as text. */
export function progressBundle(state: PhaseState): Record<string, string> {
  const { progress, lines } = state;
  const bar =
    state.outcome === undefined && progress
      ? `<progress value="${progress.done}" max="${progress.total}" style="width:16em;vertical-align:middle"></progress> `
      : "";
  const head = headline(state);
  const log =
    lines.length === 0
      ? ""
      : `<pre style="margin:.4em 0;font-size:90%;opacity:.8;white-space:pre-wrap">${escapeXml(lines.join("\n"))}</pre>`;
  return {
    "text/html": `<div>${bar}${escapeXml(head)}</div>${log}`,
    "text/plain": [head, ...lines].join("\n"),
  };
}

function headline(state: PhaseState): string {
  const { outcome, progress } = state;
  if (outcome !== undefined) return outcome;
  const parts: string[] = [];
  const step = state.records.findLast((record) => record.kind === "train");
  if (step) {
    parts.push(
      `step ${step.step}/${step.steps}`,
      `loss ${step.loss.toFixed(4)}`,
      `grad norm ${formatNumber(step.grad_norm)}`,
      `${formatCount(step.tokens_per_second)} tokens/s`,
      `${formatDuration(step.seconds_left)} left`,
    );
  } else if (progress) {
    parts.push(
      `${progress.label || state.title} ${formatCount(progress.done)}/${formatCount(progress.total)}`,
    );
  } else parts.push(`${state.title} …`);
  if (state.isStopping)
    parts.push("stopping: finishing the step, then saving; interrupt again to end at once");
  return parts.join(" · ");
}
