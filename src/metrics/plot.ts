// Charts of one run, or of several in the same axes: loss with evaluation, learning rate, gradient norm, tokens/s.
import {
  chartGrid,
  chartSvg,
  escapeXml,
  palette,
  smooth,
  type Chart,
  type Point,
  type Series,
  withinBounds,
} from "../view/index.ts";
import { formatCount, formatDuration } from "./format.ts";
import type { EvalRecord, MetricRecord, StepRecord } from "./record.ts";
import type { RunSummary } from "./runs.ts";

export interface PlottedRun {
  name: string;
  records: readonly MetricRecord[];
}

/**
 * The four charts as one SVG document.
 * @example
 * ```ts no-run
 * import { writeFileSync } from "node:fs";
 * import { findRun, plotSvg } from "torchforge/metrics";
 *
 * const { run, records } = findRun("latest", "outputs");
 * writeFileSync("plot.svg", plotSvg([{ name: run.name, records }]));
 * ```
 */
export function plotSvg(runs: readonly PlottedRun[]): string {
  return chartGrid(Object.values(runCharts(runs)), 2);
}

/**
 * The names of runs in a legend: their descriptions, since names are often only times; with the name where two have the same.
 * @example
 * ```ts no-run
 * import { findRun, legendNames } from "torchforge/metrics";
 *
 * legendNames([findRun("latest", "outputs").run]); // ["lower learning rate"]
 * ```
 */
export function legendNames(runs: readonly Pick<RunSummary, "name" | "description">[]): string[] {
  const told = runs.map(({ description }) => (description ?? "").trim());
  return runs.map(({ name }, i) => {
    const text = told[i]!;
    if (text === "") return name;
    return told.indexOf(text) === told.lastIndexOf(text) ? text : `${text} (${name})`;
  });
}

/**
 * A page with the charts and a table of the runs, for phones and wide windows, light and dark. Values show under the mouse. It
 * needs neither network nor scripts.
 * @example
 * ```ts no-run
 * import { writeFileSync } from "node:fs";
 * import { findRun, plotHtml } from "torchforge/metrics";
 *
 * const runs = ["baseline", "lower-lr"].map((name) => ({ name, ...findRun(name, "outputs") }));
 * writeFileSync("plot.html", plotHtml(runs));
 * ```
 */
export function plotHtml(runs: readonly (PlottedRun & { run: RunSummary })[]): string {
  const title = runs.map(({ name }) => name).join(", ");
  const charts = Object.values(runCharts(runs)).map((chart) => chartSvg({ ...chart, hover: true }));
  const head = ["run", "status", "model", "step", "loss", "evaluation loss", "tokens", "time"];
  const rows = runs.map(({ run, records }) => {
    const steps = stepsOf(records);
    const last = steps.at(-1);
    const cells = [
      run.name,
      run.status,
      run.model,
      `${run.step}/${run.steps}`,
      run.loss?.toFixed(4) ?? "",
      run.evalLoss?.toFixed(4) ?? "",
      last === undefined ? "" : formatCount(last.num_tokens),
      formatDuration(steps.reduce((sum, { step_seconds: seconds }) => sum + seconds, 0)),
    ];
    return `<tr>${cells.map((cell) => `<td>${escapeXml(cell)}</td>`).join("")}</tr>`;
  });
  return [
    "<!doctype html>",
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escapeXml(title)}</title>`,
    "<style>:root{color-scheme:light dark}body{font:14px system-ui,sans-serif;margin:24px}h1{font-size:20px;margin:0}",
    ".runs{overflow-x:auto;margin:16px 0}table{border-collapse:collapse}",
    "td,th{padding:4px 12px 4px 0;text-align:left;border-bottom:1px solid color-mix(in srgb,currentColor 20%,transparent)}",
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:16px}",
    ".charts svg{width:100%;height:auto;color:inherit}.value:hover{fill-opacity:.6}</style></head><body>",
    `<h1>${escapeXml(title)}</h1>`,
    `<div>${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC</div>`,
    `<div class="runs"><table><thead><tr>${head.map((cell) => `<th>${cell}</th>`).join("")}</tr></thead><tbody>`,
    ...rows,
    '</tbody></table></div><div class="charts">',
    ...charts,
    "</div></body></html>",
    "",
  ].join("\n");
}

const stepsOf = (records: readonly MetricRecord[]): StepRecord[] =>
  records.filter((record) => record.kind === "train");
const evalsOf = (records: readonly MetricRecord[]): EvalRecord[] =>
  records.filter((record) => record.kind === "eval");

/** The charts one by one; each is a getter, so that only those in use are computed. */
export function runCharts(
  runs: readonly PlottedRun[],
): Record<"loss" | "learningRate" | "gradNorm" | "tokensPerSecond", Chart> {
  const colorOf = (i: number): string => palette[i % palette.length]!;
  const steps = runs.map(({ records }) => stepsOf(records));
  const lines = (value: (record: StepRecord) => number, isNoisy: boolean): Series[] =>
    runs.flatMap(({ name }, i) => {
      const points = steps[i]!.map((record): Point => [record.step, value(record)]);
      const color = colorOf(i);
      // Too few points to smooth.
      if (!isNoisy || points.length < 20) return [{ name, points, color }];
      return [
        { name, points, color, faint: true },
        { name, points: smooth(withinBounds(points), 0.9), color },
      ];
    });
  const evaluations = (): Series[] =>
    runs.flatMap(({ name, records }, i) => {
      const evals = evalsOf(records);
      return [...new Set(evals.map(({ dataset }) => dataset))].map((dataset, j): Series => {
        const parts = [runs.length > 1 ? name : "", "evaluation", dataset ?? ""].filter(
          (part) => part !== "",
        );
        return {
          name: parts.join(" "),
          points: evals
            .filter((record) => record.dataset === dataset)
            .map((record) => [record.step, record.eval_loss]),
          color: runs.length > 1 ? colorOf(i) : colorOf(1 + j),
          dots: true,
          dashed: true,
        };
      });
    });
  const xLabel = "step";
  return {
    get loss() {
      const loss = lines((record) => record.loss, true);
      const named = runs.length > 1 ? loss : loss.map((series) => ({ ...series, name: "training" }));
      return { title: "loss", xLabel, series: [...named, ...evaluations()] };
    },
    get learningRate() {
      return { title: "learning rate", xLabel, series: lines((record) => record.learning_rate, false) };
    },
    get gradNorm() {
      return { title: "gradient norm", xLabel, series: lines((record) => record.grad_norm, true) };
    },
    get tokensPerSecond() {
      return { title: "tokens/s", xLabel, series: lines((record) => record.tokens_per_second, true) };
    },
  };
}
