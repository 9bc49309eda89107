// What `torchforge simulate` prints: the plan of the run, with measured memory and traffic beside those of the formulas.
import type { RunSpec } from "../../config/index.ts";
import { blockCosts, type ModelConfig } from "../../models/index.ts";
import { playSchedule } from "../../parallel/index.ts";
import { amount, gibibytes } from "./bytes.ts";
import { forecastRank, pipelineOf } from "./forecast.ts";
import { planHead } from "./plan.ts";
import type { Card, Links } from "./cards.ts";
import type { SimulatedRank } from "./simulate.ts";
import { stepTime, type StepTime } from "./step-time.ts";

export interface Speeds {
  /** What a process computes: 10^12 operations a second. */
  readonly teraflops: number;
  /** What it sends: 10^9 bytes a second. */
  readonly gigabytes: number;
}

/** A card, and the links between them. */
export interface Machines {
  readonly card: Card;
  readonly links: Links;
}

export interface SimulationReport {
  readonly mesh: Readonly<Record<string, number>>;
  readonly worldSize: number;
  /** Share of a step in which a process of the pipeline is idle. */
  readonly bubble: number;
  /** 10^12 operations of a process in a step. */
  readonly teraflop: number;
  /** Where a card was named. */
  readonly time: StepTime | undefined;
  readonly ranks: readonly (SimulatedRank & { readonly forecastBytes: number })[];
}

export function reportOf(
  spec: RunSpec,
  model: ModelConfig,
  ranks: readonly SimulatedRank[],
  machines?: Machines,
): SimulationReport {
  const { degrees, worldSize, seqLen } = spec;
  const costs = blockCosts(model, seqLen);
  const flops = costs.reduce((a, b) => a + b, 0) * 3;
  const positions = spec.localBatchSize * spec.accumulationSteps * seqLen;
  const bubble = bubbleOf(spec, model, costs);
  return {
    mesh: { ...degrees },
    worldSize,
    bubble,
    time: machines && stepTime({ spec, model, ranks, bubble, ...machines }),
    teraflop: (flops * positions) / degrees.tensor / degrees.context / degrees.pipeline / 1e12,
    ranks: ranks.map((one) => ({
      ...one,
      forecastBytes: forecastRank(spec, model, one.stage).totalBytes,
    })),
  };
}

function bubbleOf(spec: RunSpec, model: ModelConfig, costs: readonly number[]): number {
  if (spec.degrees.pipeline === 1) return 0;
  const { stages, schedule } = pipelineOf(spec, model);
  const work = stages.map(({ start, end }) => costs.slice(start, end).reduce((a, b) => a + b, 0));
  return playSchedule(
    schedule,
    ({ kind, stage }) => work[stage]! * (kind === "backward" && !schedule.splitsBackward ? 2 : 1),
  ).bubble;
}

export function reportLines(
  spec: RunSpec,
  model: ModelConfig,
  report: SimulationReport,
  speeds?: Speeds,
): string[] {
  const { ranks, bubble, teraflop } = report;
  const pipelined = ranks.length > 1;
  const nameOf = ({ stage }: SimulatedRank): string => (pipelined ? `pp ${stage}` : "every rank");
  const lines = [
    ...planHead(spec, model),
    "",
    "memory         a process, beside the program itself, measured; for full packs",
    ...ranks.map(
      (one) =>
        `  ${nameOf(one).padEnd(12)}${gibibytes(one.peakBytes).padStart(10)}  (weights and moments ${gibibytes(one.stateBytes)}; torchforge plan says ${gibibytes(one.forecastBytes)})${one.mainBytes > 0 ? `; ${gibibytes(one.mainBytes)} of main memory` : ""}`,
    ),
    "",
    "communication  that a process sends in a step, measured",
  ];
  for (const one of ranks) {
    if (pipelined) lines.push(`  ${nameOf(one)}`);
    const shown = one.traffic
      .filter(({ sentBytes }) => sentBytes >= 1024)
      .toSorted((a, b) => b.sentBytes - a.sentBytes);
    if (shown.length === 0) lines.push("    nothing");
    for (const { axis, kind, ranks: size, calls, sentBytes, waitedBytes } of shown)
      lines.push(
        `    ${kind.padEnd(16)}${axis.padEnd(22)}${`of ${size}`.padEnd(8)}${String(calls).padStart(7)} calls  ${amount(sentBytes).padStart(11)}${waitedBytes > 0 && kind !== "send" ? `, ${((100 * waitedBytes) / sentBytes).toFixed(0)} % with nothing to compute meanwhile` : ""}`,
      );
  }
  lines.push(
    "",
    `work           ${teraflop.toFixed(1)} Tflop a process and step, without what is computed again`,
  );
  if (pipelined)
    lines.push(
      `bubble         ${(bubble * 100).toFixed(1)} % of a step, by the operations that stages count`,
    );
  if (speeds !== undefined) lines.push(...timeLines(report, speeds));
  if (report.time !== undefined) lines.push(...stepLines(report.time));
  return lines;
}

function stepLines(time: StepTime): string[] {
  const seconds = (of: number): string => (of < 0.1 ? `${(of * 1000).toFixed(1)} ms` : `${of.toFixed(2)} s`);
  return [
    "",
    `step           ${seconds(time.step)}: ${Math.round(time.tokensPerSecond).toLocaleString("en")} tokens/s, MFU ${(time.utilization * 100).toFixed(1)} %; a roofline: no kernel's launch and no slower rank is counted`,
    `  products and attention ${seconds(time.computing)}, memory ${seconds(time.moving)}, idle in the pipeline ${seconds(time.idle)}`,
    `  collectives ${seconds(time.communicating)}, of which ${seconds(time.exposed)} exposed`,
  ];
}

/** Arithmetic with the given speeds; what can't be hidden is a lower bound. */
function timeLines(
  { ranks, bubble, teraflop }: SimulationReport,
  { teraflops, gigabytes }: Speeds,
): string[] {
  const seconds = (bytes: number): number => bytes / gigabytes / 1e9;
  const compute = teraflop / teraflops / (1 - bubble);
  const slowest = ranks
    .map(({ traffic }) => {
      const own = traffic.filter(({ kind }) => kind !== "send");
      const all = seconds(own.reduce((sum, one) => sum + one.sentBytes, 0));
      const waited = seconds(own.reduce((sum, one) => sum + one.waitedBytes, 0));
      return { all, exposed: waited + Math.max(0, all - waited - compute) };
    })
    .reduce((most, one) => (one.exposed > most.exposed ? one : most));
  return [
    `time           at ${teraflops} Tflop/s and ${gigabytes} GB/s: computing ${compute.toFixed(2)} s, collectives ${slowest.all.toFixed(2)} s, of which at least ${slowest.exposed.toFixed(2)} s can't be hidden`,
  ];
}
