// What a run of several processes will look like, as text: mesh, stages, memory of each rank, schedule, communication. From
// the configuration and the model's config.json alone, by the code that the run itself is divided with; no tensor is made.
import { derive, type TorchforgeConfig } from "../config/index.ts";
import { formatCount } from "../metrics/index.ts";
import {
  blockCosts,
  blockSpecs,
  checkFlavor,
  countParameters,
  modelOfFlavor,
  readModelConfig,
  type ModelConfig,
} from "../models/index.ts";
import {
  blocksOfRank,
  drawSchedule,
  expertOf,
  ParallelDims,
  playSchedule,
  stagesPerRank,
} from "../parallel/index.ts";
import type { BlockSpec } from "../parallel/index.ts";
import { contextTraffic } from "./context-traffic.ts";
import { amount, gibibytes } from "./bytes.ts";
import { countOf, forecastRank, pipelineOf } from "./forecast.ts";

/** Model, mesh, step and stages. @throws UserError where the model can't be divided so */
export function planHead(config: TorchforgeConfig, model: ModelConfig): string[] {
  const derived = derive(config);
  const { degrees, accumulationSteps, globalBatchSize, worldSize } = derived;
  const { training, parallelism } = config;
  const dims = ParallelDims.of(config);
  dims.checkModel(model, stagesPerRank(parallelism.pipeline_parallel_schedule));
  const { layout } = dims;
  const axes = layout?.axes.map((axis, i) => `${axis} ${layout.shape[i]}`).join(" x ");
  const specs = blockSpecs(model);
  const lines = [
    `model          ${formatCount(countOf(specs))} parameters, ${model.numLayers} layers${model.tieEmbeddings ? ", tied embedding" : ""}`,
    ...expertLines(model, degrees.expert, dims.wholeExperts),
    `mesh           ${worldSize} ${worldSize === 1 ? "process" : "processes"}${axes === undefined ? "" : `: ${axes} (the last one fastest)`}`,
    `step           ${globalBatchSize} rows of ${training.seq_len} positions: ${training.local_batch_size} a rank and pass, ${accumulationSteps} ${accumulationSteps === 1 ? "pass" : "passes"}`,
  ];
  if (degrees.pipeline > 1) lines.push("", ...pipelineLines(config, model, specs));
  return lines;
}

/** @throws UserError where the model can't be divided so */
export function planLines(config: TorchforgeConfig, model: ModelConfig): string[] {
  const lines = planHead(config, model);
  const { degrees } = derive(config);
  const { training } = config;
  lines.push("", "memory         a process, beside the program itself; for full packs");
  for (let rank = 0; rank < degrees.pipeline; rank++) {
    const { stateBytes, activationBytes, totalBytes, mainBytes } = forecastRank(config, model, rank);
    const main = training.enable_cpu_offload ? `; ${gibibytes(mainBytes)} of main memory` : "";
    lines.push(
      `  ${(degrees.pipeline === 1 ? "every rank" : `pp ${rank}`).padEnd(15)}${gibibytes(totalBytes).padStart(10)}  (weights, gradients, moments ${gibibytes(stateBytes)}; activations ${gibibytes(activationBytes)})${main}`,
    );
  }
  lines.push("", ...communicationLines(config, model, blockSpecs(model)));
  return lines;
}

function expertLines(model: ModelConfig, degree: number, whole: boolean): string[] {
  const { mixture } = model;
  if (mixture === undefined) return [];
  const { numExperts, expertsPerToken, layers } = mixture;
  const where =
    degree > 1
      ? `; ${numExperts / degree} on each of ${degree} ${whole ? "shard and tensor" : "shard"} ranks`
      : "";
  return [
    `experts        ${numExperts} in each of ${layers.filter(Boolean).length} layers, ${expertsPerToken} for a token, which meets ${formatCount(countParameters(model, expertsPerToken))} parameters${where}`,
  ];
}

function pipelineLines(config: TorchforgeConfig, model: ModelConfig, specs: readonly BlockSpec[]): string[] {
  const { stages, schedule, rounds } = pipelineOf(config, model);
  const costs = blockCosts(model, config.training.seq_len);
  const total = costs.reduce((a, b) => a + b, 0);
  // By what the stages cost; the picture draws them as equal.
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

/** Bytes that the busiest rank sends in a step. */
function communicationLines(
  config: TorchforgeConfig,
  model: ModelConfig,
  specs: readonly BlockSpec[],
): string[] {
  const { degrees, accumulationSteps } = derive(config);
  const { training, parallelism } = config;
  const sizeOf = (name: string): number => (name === "float32" ? 4 : 2);
  const own = sizeOf(training.dtype);
  const compute = training.dtype === "float32" ? sizeOf(training.mixed_precision_param) : own;
  const reduce = sizeOf(training.mixed_precision_reduce);
  const lines = ["communication  bytes that a process sends in a step, at most"];
  const add = (name: string, bytes: number, how: string): void => {
    lines.push(`  ${name.padEnd(15)}${amount(bytes).padStart(10)}  ${how}`);
  };
  const pipeline = degrees.pipeline > 1 ? pipelineOf(config, model) : undefined;
  const rows = training.local_batch_size * accumulationSteps;
  // Of activations, and of shards: a context group divides both.
  const tokens = training.seq_len / degrees.context;
  const shards = degrees.shard * degrees.context;
  const { wholeExperts } = ParallelDims.of(config);
  const others = (size: number): number => (size - 1) / size;
  /** Of a rank's blocks, parameters that it sends in one gather: of experts, its own to those that have the same. */
  const sentOf = (own: readonly BlockSpec[]): number => {
    const experts = countOf(own, (name) => expertOf(name) !== undefined);
    const { expert, tensor } = degrees;
    const same = (wholeExperts ? shards * tensor : shards) / expert;
    return (countOf(own) - experts) * others(shards) + (experts / expert) * others(same);
  };
  let held = countOf(specs);
  let shared = sentOf(specs);
  let layers = Array.from({ length: model.numLayers }, (_, i) => i);
  if (pipeline !== undefined) {
    const { stages, schedule } = pipeline;
    const { rankOf } = schedule;
    const message = tokens * model.hiddenSize * compute;
    const sent = Array.from({ length: degrees.pipeline }, () => 0);
    for (let stage = 0; stage + 1 < rankOf.length; stage++) {
      const [from, to] = [rankOf[stage]!, rankOf[stage + 1]!];
      if (from === to) continue;
      sent[from]! += rows * message;
      sent[to]! += rows * message;
    }
    add(
      "stages",
      Math.max(...sent),
      `${rows} activations and gradients of [${tokens}, ${model.hiddenSize}] at each border`,
    );
    const tied = specs.some(({ shared }) => shared !== undefined) && rankOf[0] !== rankOf.at(-1);
    if (tied) {
      add(
        "tied embedding",
        (model.vocabSize * model.hiddenSize * own) / shards,
        "its gradient, between first and last stage",
      );
    }
    const ranks = sent.map((_, rank) => blocksOfRank(specs, stages, rankOf, rank));
    held = Math.max(...ranks.map((one) => countOf(one.specs)));
    shared = Math.max(...ranks.map((one) => sentOf(one.specs)));
    const layersOf = ranks.map(({ blocks }) => blocks.map((i) => i - 1).filter((i) => layers.includes(i)));
    layers = layersOf.reduce((most, one) => (one.length > most.length ? one : most));
  }
  if (degrees.context > 1) {
    add(
      "context",
      contextTraffic(config, model, layers, compute),
      `keys, values and their gradients in ${layers.length} layers (${parallelism.context_parallel_rotate_method})`,
    );
  }
  // Each rank of a ring sends all parts but one; a sum over replicas goes round twice.
  if (shards > 1) {
    const passes = pipeline === undefined ? accumulationSteps : rows;
    const asked = parallelism.fsdp_reshard_after_forward;
    const staysWhole = asked === "never" || (asked === "default" && pipeline !== undefined);
    const gathers = staysWhole ? 1 : 2 * passes;
    add(
      "all-gather",
      shared * compute * gathers,
      `parameters, ${gathers} ${gathers === 1 ? "time" : "times"}`,
    );
    add(
      "reduce-scatter",
      shared * reduce * passes,
      `gradients, ${passes} ${passes === 1 ? "time" : "times"}`,
    );
  }
  if (degrees.expert > 1) {
    const ways = config.activation_checkpoint.mode === "full" ? 6 : 4;
    const expertLayers = layers.filter((layer) => model.mixture!.layers[layer]).length;
    const pairs = (rows * tokens * model.mixture!.expertsPerToken) / (wholeExperts ? degrees.tensor : 1);
    add(
      "all-to-all",
      pairs * model.hiddenSize * compute * others(degrees.expert) * expertLayers * ways,
      `tokens to experts and back, ${ways} times in each of ${expertLayers} layers; where all get as many`,
    );
  }
  if (degrees.replicate > 1)
    add("all-reduce", (2 * held * reduce * others(degrees.replicate)) / shards, "gradients, once");
  if (lines.length === 1) return ["communication  none"];
  return lines;
}

/** The model in a folder; without one, what model.name and model.flavor say. @throws UserError as training would */
export function readModel(config: TorchforgeConfig, folder: string | undefined): ModelConfig {
  const { name, flavor } = config.model;
  if (folder === undefined) return modelOfFlavor(String(name), String(flavor));
  const model = readModelConfig(folder);
  checkFlavor(name, flavor, model);
  return model;
}

/** The plan for it. @throws UserError as training would */
export function planFolder(config: TorchforgeConfig, folder: string): string[] {
  return planLines(config, readModel(config, folder));
}
