// The summary of a run below its charts: losses, time, and where its files are.
import { existsSync } from "node:fs";
import { join } from "node:path";

import { formatCount, formatDuration, type MetricRecord } from "../metrics/index.ts";
import { escapeXml, tableHtml, tableText, type Cell, type HtmlCell } from "../view/index.ts";
import { fileLink, shortPath } from "./file-link.ts";

export interface PhaseResult {
  /** The phase's records, with at least one step. */
  readonly records: readonly MetricRecord[];
  readonly seconds: number;
  /** The run folder. */
  readonly folder: string | undefined;
  /** The last complete checkpoint. */
  readonly checkpoint: string | undefined;
}

/** Files that are linked if they exist, in this order. */
const files: readonly [file: string, name: string][] = [
  ["plot.html", "plot"],
  ["metrics.jsonl", "metrics"],
  ["config.yaml", "configuration"],
  ["logs/rank-0.log", "log"],
];

export function summaryBundle({ records, seconds, folder, checkpoint }: PhaseResult): Record<string, string> {
  const steps = records.filter((record) => record.kind === "train");
  const evals = records.filter((record) => record.kind === "eval");
  const [first, last] = [steps[0]!, steps.at(-1)!];
  const tokens = steps.reduce((sum, step) => sum + step.tokens_per_second * step.step_seconds, 0);
  const rows: [string, Cell][] = [
    ["loss", change(first.loss, last.loss)],
    ...[...new Set(evals.map(({ dataset }) => dataset))].map((dataset): [string, Cell] => {
      const ofDataset = evals.filter((one) => one.dataset === dataset);
      const name = dataset === undefined ? "evaluation" : `evaluation on ${dataset}`;
      return [name, change(ofDataset[0]!.eval_loss, ofDataset.at(-1)!.eval_loss)];
    }),
    [
      "time",
      `${formatDuration(seconds)} for ${steps.length} ${steps.length === 1 ? "step" : "steps"}, ${formatCount(tokens)} tokens`,
    ],
  ];
  if (checkpoint !== undefined) rows.push(["checkpoint", path(checkpoint)]);
  if (folder !== undefined) rows.push(["run", path(folder)], ["files", joinCells(links(folder))]);
  return { "text/html": tableHtml([], rows), "text/plain": tableText([], rows) };
}

const change = (from: number, to: number): string =>
  from === to ? to.toFixed(4) : `${from.toFixed(4)} → ${to.toFixed(4)}`;

function path(folder: string): HtmlCell {
  const text = shortPath(folder);
  return { html: `<code>${escapeXml(text)}</code>`, text };
}

function links(folder: string): HtmlCell[] {
  return files
    .map(([file, name]) => ({ file: join(folder, file), name }))
    .filter(({ file }) => existsSync(file))
    .map(({ file, name }) => ({ ...fileLink(file, name), text: shortPath(file) }));
}

const joinCells = (all: readonly HtmlCell[]): HtmlCell => ({
  html: all.map(({ html }) => html).join(" · "),
  text: all.map(({ text }) => text).join("\n"),
});
