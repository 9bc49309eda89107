// torchforge/metrics: records of steps and evaluations, run folders, files and charts. Never loads libtorch.
export { barLine, ConsoleReporter, type ConsoleOptions, type Output } from "./console-reporter.ts";
export {
  formatCount,
  formatDuration,
  formatEval,
  formatNumber,
  formatStep,
  formatTrainingStep,
} from "./format.ts";
export { MetricLog, type MetricLogging } from "./metric-log.ts";
export { MetricsFile, readMetrics } from "./metrics-file.ts";
export { legendNames, plotHtml, plotSvg, runCharts, type PlottedRun } from "./plot.ts";
export type { EvalRecord, MetricRecord, MetricSink, StepRecord } from "./record.ts";
export { automaticName, checkFolder, RunFolder, type RunFolderOptions } from "./run-folder.ts";
export type { RunInfo, RunStatus } from "./run-info.ts";
export { findRun, listRuns, readRun, type RunData, type RunSummary } from "./runs.ts";
export { StepClock, type StepTiming } from "./step-clock.ts";
export { TensorBoardWriter } from "./tfevents.ts";
