// What a run of several processes will look like, as text: mesh, stages, memory of each rank, schedule, communication. From
// the configuration and the model's config.json alone, by the code that the run itself is divided with; no tensor is made.
import type { RunSpec } from "../../config/index.ts";
import { formatCount } from "../../metrics/index.ts";
import {
  blockCosts,
  checkFlavor,
  countParameters,
  modelOfFlavor,
  readModelConfig,
  type ModelConfig,
} from "../../models/index.ts";
import type { BlockSpec } from "../../nn/index.ts";
import { drawSchedule, ParallelDims, playSchedule, stagesPerRank } from "../../parallel/index.ts";
import { trainedBlocks } from "../assembly/trained-blocks.ts";
import { amount, gibibytes } from "./bytes.ts";
import { countOf, forecastRank, pipelineOf } from "./forecast.ts";
import { plannedTraffic, type PlannedTraffic } from "./planned-traffic.ts";

/** Model, mesh, step and stages. @throws UserError where the model can't be divided so */
export function planHead(spec: RunSpec, model: ModelConfig): string[] {
  const { degrees, accumulationSteps, globalBatchSize, localBatchSize, seqLen, worldSize } = spec;
  const dims = ParallelDims.of(spec);
  dims.checkModel(model, stagesPerRank(spec.pipelineSchedule));
  const { layout } = dims;
  const axes = layout?.axes.map((axis, i) => `${axis} ${layout.shape[i]}`).join(" x ");
  const specs = trainedBlocks(spec, model);
  const lines = [
    `model          ${formatCount(countOf(specs))} parameters, ${model.numLayers} layers${model.tieEmbeddings ? ", tied embedding" : ""}`,
    ...expertLines(model, degrees.expert, dims.wholeExperts),
    `mesh           ${worldSize} ${worldSize === 1 ? "process" : "processes"}${axes === undefined ? "" : `: ${axes} (the last one fastest)`}`,
    `step           ${globalBatchSize} rows of ${seqLen} positions: ${localBatchSize} a rank and pass, ${accumulationSteps} ${accumulationSteps === 1 ? "pass" : "passes"}`,
  ];
  if (degrees.pipeline > 1) lines.push("", ...pipelineLines(spec, model, specs));
  return lines;
}

/** @throws UserError where the model can't be divided so */
export function planLines(spec: RunSpec, model: ModelConfig): string[] {
  const lines = planHead(spec, model);
  const { degrees } = spec;
  lines.push("", "memory         a process, beside the program itself; for full packs");
  let mostHeld = 0;
  for (let rank = 0; rank < degrees.pipeline; rank++) {
    const forecast = forecastRank(spec, model, rank);
    const { stateBytes, activationBytes, totalBytes, mainBytes, heldGradientBytes } = forecast;
    mostHeld = Math.max(mostHeld, heldGradientBytes);
    const main = spec.cpuOffload ? `; ${gibibytes(mainBytes)} of main memory` : "";
    lines.push(
      `  ${(degrees.pipeline === 1 ? "every rank" : `pp ${rank}`).padEnd(15)}${gibibytes(totalBytes).padStart(10)}  (weights, gradients, moments ${gibibytes(stateBytes)}; activations ${gibibytes(activationBytes)})${main}`,
    );
  }
  if (mostHeld > 0)
    lines.push(
      `  of it at most ${gibibytes(mostHeld)} of gradients, whole until the last pass reduces them; with parallelism.fsdp_reduce_gradients every_pass none wait, and each pass reduces its own`,
    );
  lines.push("", ...communicationLines(spec, model));
  return lines;
}

function expertLines(model: ModelConfig, degree: number, whole: boolean): string[] {
  const { moe } = model;
  if (moe === undefined) return [];
  const { numExperts, expertsPerToken, layers } = moe;
  const where =
    degree > 1
      ? `; ${numExperts / degree} on each of ${degree} ${whole ? "shard and tensor" : "shard"} ranks`
      : "";
  return [
    `experts        ${numExperts} in each of ${layers.filter(Boolean).length} layers, ${expertsPerToken} for a token, which meets ${formatCount(countParameters(model, expertsPerToken))} parameters${where}`,
  ];
}

function pipelineLines(spec: RunSpec, model: ModelConfig, specs: readonly BlockSpec[]): string[] {
  const { stages, schedule, rounds } = pipelineOf(spec, model);
  const costs = blockCosts(model, spec.seqLen);
  const total = costs.reduce((a, b) => a + b, 0);
  // Weighted by what the stages cost; the picture draws them as equal.
  const work = stages.map(({ start, end }) => costs.slice(start, end).reduce((a, b) => a + b, 0));
  const { bubble, held } = playSchedule(
    schedule,
    ({ kind, stage }) => work[stage]! * (kind === "backward" && !schedule.splitsBackward ? 2 : 1),
  );
  const head = model.numLayers + 1;
  const stageLine = ({ index, start, end }: (typeof stages)[number]): string => {
    const [first, last] = [Math.max(start, 1) - 1, Math.min(end, head) - 2];
    const layers = first > last ? "" : first === last ? `layer ${first}` : `layers ${first}-${last}`;
    const what = [start === 0 ? "embedding" : "", layers, end > head ? "head" : ""]
      .filter(Boolean)
      .join(", ");
    const share = work[index]! / total;
    const numbers = countOf(specs.slice(start, end));
    return `  stage ${String(index).padEnd(4)}pp ${String(schedule.rankOf[index]).padEnd(4)}${what.padEnd(32)}${formatCount(numbers).padStart(8)} parameters  ${(share * 100).toFixed(1).padStart(5)} % of the work`;
  };
  return [
    "stages",
    ...stages.map((stage) => stageLine(stage)),
    "",
    `schedule       ${schedule.name}: ${schedule.microbatches} microbatches of one row${rounds > 1 ? `, ${rounds} times a step` : ""}, idle ${(bubble * 100).toFixed(1)} %, at most ${Math.max(...held)} held by a process`,
    ...drawSchedule(schedule)
      .split("\n")
      .map((line) => `  ${line}`),
    `  3: forward of microbatch 3, 3': backward${schedule.splitsBackward ? ` of its inputs, 3": of its weights` : ""}${schedule.stages > schedule.ranks ? ", letters: a rank's second stage" : ""}, dots: idle`,
  ];
}

/** What the busiest rank sends, of each kind. */
function communicationLines(spec: RunSpec, model: ModelConfig): string[] {
  const { pipeline } = spec.degrees;
  const ranks = Array.from({ length: pipeline }, (_, rank) => plannedTraffic(spec, model, rank));
  const most = new Map<string, PlannedTraffic>();
  for (const one of ranks.flat()) if (one.bytes > (most.get(one.name)?.bytes ?? 0)) most.set(one.name, one);
  if (most.size === 0) return ["communication  none"];
  return [
    "communication  bytes that a process sends in a step, at most",
    ...[...most.values()].map(
      ({ name, bytes, how }) => `  ${name.padEnd(15)}${amount(bytes).padStart(10)}  ${how}`,
    ),
  ];
}

/** The model in a folder; without one, what model.name and model.flavor say. @throws UserError as training would */
export function readModel(spec: RunSpec, folder: string | undefined): ModelConfig {
  const { name, flavor } = spec.model;
  if (folder === undefined) return modelOfFlavor(String(name), String(flavor));
  const model = readModelConfig(folder);
  checkFlavor(name, flavor, model);
  return model;
}

/** The plan for it. @throws UserError as training would */
export function planFolder(spec: RunSpec, folder: string): string[] {
  return planLines(spec, readModel(spec, folder));
}
