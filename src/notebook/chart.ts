// A run's charts in a cell: loss, learning rate and tokens/s as one SVG picture, which a saved notebook keeps, and as text.
// Drawn from the records alone; live-output.ts updates it in place.
import {
  formatCount,
  runCharts,
  type EvalRecord,
  type MetricRecord,
  type StepRecord,
} from "../metrics/index.ts";
import { chartGrid, type Chart, sparkline } from "../view/index.ts";

/** Three charts fit side by side next to JupyterLab's file list. */
const size = { width: 268, height: 210 };

/** @param records the records of one run, with at least one step */
export function chartBundle(records: readonly MetricRecord[]): Record<string, string> {
  const steps = records.filter((record) => record.kind === "train");
  const evals = records.filter((record) => record.kind === "eval");
  const last = steps.at(-1)!;
  const charts = runCharts([{ name: "training", records }]);
  const titled = (chart: Chart, value: string): Chart => ({
    ...chart,
    ...size,
    title: `${chart.title}  ${value}`,
    // The first series is the measured one; a smoothed one is drawn over it.
    series: chart.series.map((series, i) => (i === 0 ? { ...series, end: true } : series)),
  });
  const svg = chartGrid(
    [
      titled(charts.loss, last.loss.toFixed(4)),
      titled(charts.learningRate, last.learning_rate.toExponential(2)),
      titled(charts.tokensPerSecond, formatCount(last.tokens_per_second)),
    ],
    3,
  );
  return { "image/svg+xml": svg, "text/plain": chartText(steps, evals) };
}

function chartText(steps: readonly StepRecord[], evals: readonly EvalRecord[]): string {
  const last = steps.at(-1)!;
  const rows: [name: string, values: number[], value: string][] = [
    ["loss", steps.map(({ loss }) => loss), last.loss.toFixed(4)],
    ["learning rate", steps.map((step) => step.learning_rate), last.learning_rate.toExponential(2)],
    ["tokens/s", steps.map((step) => step.tokens_per_second), formatCount(last.tokens_per_second)],
  ];
  const evaluated = evals.at(-1);
  if (evaluated) {
    const ofDataset = evals.filter(({ dataset }) => dataset === evaluated.dataset);
    rows.push(["evaluation", ofDataset.map((one) => one.eval_loss), evaluated.eval_loss.toFixed(4)]);
  }
  return [
    `step ${last.step}/${last.steps}`,
    ...rows.map(([name, values, value]) => `${name.padEnd(13)} ${sparkline(values)} ${value}`),
  ].join("\n");
}
