// The few lines that say what a run is about to do.
import { totalmem } from "node:os";

import { formatNote } from "../../data/index.ts";
import { formatCount } from "../../metrics/index.ts";
import { adaptersOf, kindOf, moduleOf } from "../../models/index.ts";
import { numel, parametersOf, type BlockSpec, type ParameterSpec } from "../../nn/index.ts";
import { getNumThreads } from "../../torch/index.ts";
import { gibibytes } from "../plan/bytes.ts";
import type { Trainer } from "./trainer.ts";

export function describeRun(trainer: Trainer): string[] {
  const { spec, forecast } = trainer;
  const { data, degrees, optimizer, worldSize } = spec;
  const accumulation = spec.accumulationSteps > 1 ? ` x ${spec.accumulationSteps} micro-batches` : "";
  const { formats, extent } = trainer.loader;
  const datasets = data.datasets.map((one, i) => `${one.path} (${formats[i]!.format})`).join(", ");
  const { replicate, shard, tensor, pipeline, context } = degrees;
  const division = [
    pipeline > 1 ? `layers in a pipeline of ${pipeline} (${spec.pipelineSchedule})` : "",
    tensor > 1 ? `matrices divided among ${tensor}` : "",
    context > 1 ? `sequences cut among ${context} (${spec.contextRotateMethod})` : "",
    shard * context > 1 ? `parameters sharded over ${shard * context}` : "",
    replicate > 1 ? `${replicate} replicas` : "",
  ].filter(Boolean);
  const device = spec.withGpus ? "GPU" : `CPU, ${getNumThreads()} threads`;
  const snapshot =
    forecast.snapshotBytes > 0
      ? `, of it ${gibibytes(forecast.snapshotBytes)} for a copy from which checkpoints are written (checkpoint.async_mode: ${spec.checkpoint.asyncMode})`
      : "";
  const main =
    forecast.mainBytes > 0
      ? `; ${gibibytes(forecast.mainBytes)} of main memory${spec.cpuOffload ? " for weights, gradients and moments (training.enable_cpu_offload)" : ""}`
      : "";
  return [
    `model       ${spec.model.hfAssetsPath}: ${formatCount(forecast.parameters)} parameters, ${spec.dtype}, on ${device}`,
    ...trainedLines(trainer.blocks),
    `data        ${datasets}: ${extent}, train on ${data.trainOn}${data.packed ? ", packed" : ""}`,
    ...(formats.some(({ format }) => format === "alpaca") ? [`            ${formatNote("alpaca")}`] : []),
    `steps       ${spec.steps}${data.epochs === undefined ? "" : ` (${data.epochs} ${data.epochs === 1 ? "epoch" : "epochs"})`} of ${spec.localBatchSize} x ${spec.seqLen} positions${accumulation}, up to ${formatCount(spec.positionsPerStep * spec.steps)} tokens in all`,
    ...(worldSize > 1 ? [`processes   ${worldSize}: ${division.join(", ")}`] : []),
    `optimizer   ${optimizer.name}, lr ${optimizer.lr}, ${spec.schedule.warmupSteps} steps of warm-up`,
    `memory      about ${gibibytes(forecast.totalBytes)} ${worldSize > 1 ? "a process, " : ""}beside the program (activation checkpointing: ${spec.activationCheckpointing.mode})${main}${snapshot}`,
    ...tooMuch(trainer),
    `run folder  ${trainer.run.path}`,
  ];
}

/** What is trained, where that isn't everything: how much, and in which modules. */
export function trainedLines(blocks: readonly BlockSpec[]): string[] {
  const specs = [...parametersOf(blocks).values()];
  const count = (some: readonly ParameterSpec[]): number =>
    some.reduce((sum, { shape }) => sum + numel(shape), 0);
  const trained = specs.filter(({ trainable }) => trainable);
  if (trained.length === specs.length) return [];
  const share = (100 * count(trained)) / count(specs);
  const adapters = adaptersOf(blocks);
  const kinds = new Map<string, number[]>();
  for (const [i, { parameters }] of blocks.entries()) {
    const modules = [...parameters.values()].flatMap(({ name, trainable }) => {
      if (!trainable) return [];
      const adapted = [...adapters.keys()].find((module) => name.startsWith(`${module}.lora_`));
      return [adapted ?? moduleOf(name)];
    });
    for (const module of new Set(modules)) {
      const kind = kindOf(module, i);
      kinds.set(kind, [...(kinds.get(kind) ?? []), i - 1]);
    }
  }
  const byLayers = new Map<string, string[]>();
  for (const [kind, layers] of kinds) {
    const isLayer = layers.every((layer) => layer >= 0 && layer < blocks.length - 2);
    const where = isLayer ? `layers ${rangesOf(layers)}: ` : "";
    byLayers.set(where, [...(byLayers.get(where) ?? []), kind]);
  }
  const what = adapters.size > 0 ? ` (adapters of ${adapters.size} matrices)` : "";
  return [
    `trained     ${formatCount(count(trained))} of ${formatCount(count(specs))} parameters, ${share < 1 ? share.toFixed(2) : share.toFixed(1)} %${what}`,
    ...[...byLayers].map(([where, modules]) => `            ${where}${modules.join(", ")}`),
  ];
}

/** `0-3, 7` */
function rangesOf(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const one of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === one - 1) last[1] = one;
    else ranges.push([one, one]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(", ");
}

/** Where this machine's main memory can't hold it: not refused, since a forecast may be wrong. */
function tooMuch({ spec, forecast }: Trainer): string[] {
  const here = Number(process.env["LOCAL_WORLD_SIZE"] ?? spec.worldSize);
  const needed = here * (spec.withGpus ? forecast.mainBytes : forecast.totalBytes);
  const has = Math.min(totalmem(), process.constrainedMemory() || Infinity);
  if (needed <= has) return [];
  const processes = here > 1 ? ` for ${here} processes` : "";
  return [
    `            that is more than this machine's ${gibibytes(has)}${processes}: the run will likely be killed; lower training.seq_len or training.local_batch_size, or take more machines`,
  ];
}
