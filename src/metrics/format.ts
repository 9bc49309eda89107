// Formats records, durations and counts as text.
import type { EvalRecord, StepRecord } from "./record.ts";

/** `Step 100/1000 | Loss: 2.3456`: the guide's log line. */
export function formatTrainingStep(step: number, totalSteps: number, loss: number): string {
  return `Step ${step}/${totalSteps} | Loss: ${loss.toFixed(4)}`;
}

/** The full log line of a step; begins with formatTrainingStep's. */
export function formatStep(record: StepRecord): string {
  const parts = [
    formatTrainingStep(record.step, record.steps, record.loss),
    `lr ${record.learning_rate.toExponential(2)}`,
    `grad norm ${formatNumber(record.grad_norm)}`,
    `${formatCount(record.tokens_per_second)} tokens/s`,
  ];
  if (record.step < record.steps) parts.push(`${formatDuration(record.seconds_left)} left`);
  return parts.join(" | ");
}

export function formatEval(record: EvalRecord): string {
  const name = record.dataset === undefined ? "" : ` (${record.dataset})`;
  return `Evaluation after step ${record.step}${name} | Loss: ${record.eval_loss.toFixed(4)} | perplexity ${formatNumber(Math.exp(record.eval_loss))} | ${formatCount(record.num_tokens)} tokens`;
}

/** 12 s, 3 min 05 s, 2 h 07 min, 3 d 4 h. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const total = Math.round(seconds);
  const pad = (value: number) => String(value).padStart(2, "0");
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min ${pad(total % 60)} s`;
  const minutes = Math.round(total / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
  const hours = Math.round(total / 3600);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** 12,345 or, below 10, 9.5. */
export function formatCount(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return value < 10 ? String(Math.round(value * 10) / 10) : withThousandsSeparators(Math.round(value));
}

/** Like toLocaleString("en-US"), which would load all of ICU: tens of milliseconds in the middle of a run. */
const withThousandsSeparators = (whole: number): string =>
  String(whole).replaceAll(/\B(?=(?:\d{3})+$)/g, ",");

/** Four significant digits, or exponential if that is shorter. */
export function formatNumber(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const magnitude = Math.abs(value);
  return magnitude >= 1e5 || magnitude < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}
