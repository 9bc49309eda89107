// The few lines that say what a run is about to do.
import { totalmem } from "node:os";

import { formatCount } from "../../metrics/index.ts";
import { getNumThreads } from "../../torch/index.ts";
import { gibibytes } from "../plan/bytes.ts";
import type { Trainer } from "./trainer.ts";

export function describeRun(trainer: Trainer): string[] {
  const { config, derived, forecast } = trainer;
  const { training, optimizer, activation_checkpoint: checkpointing } = config;
  const accumulation = derived.accumulationSteps > 1 ? ` x ${derived.accumulationSteps} micro-batches` : "";
  const data = derived.trainingDatasets.map((one) => one.path).join(", ");
  const { replicate, shard, tensor, pipeline, context } = derived.degrees;
  const division = [
    pipeline > 1
      ? `layers in a pipeline of ${pipeline} (${config.parallelism.pipeline_parallel_schedule})`
      : "",
    tensor > 1 ? `matrices divided among ${tensor}` : "",
    context > 1
      ? `sequences cut among ${context} (${config.parallelism.context_parallel_rotate_method})`
      : "",
    shard * context > 1 ? `parameters sharded over ${shard * context}` : "",
    replicate > 1 ? `${replicate} replicas` : "",
  ].filter(Boolean);
  const device = config.processes.with_gpus ? "GPU" : `CPU, ${getNumThreads()} threads`;
  const snapshot =
    forecast.snapshotBytes > 0
      ? `, of it ${gibibytes(forecast.snapshotBytes)} for a copy from which checkpoints are written (checkpoint.async_mode: ${config.checkpoint.async_mode})`
      : "";
  const main =
    forecast.mainBytes > 0
      ? `; ${gibibytes(forecast.mainBytes)} of main memory${training.enable_cpu_offload ? " for weights, gradients and moments (training.enable_cpu_offload)" : ""}`
      : "";
  return [
    `model       ${config.model.hf_assets_path}: ${formatCount(forecast.parameters)} parameters, ${training.dtype}, on ${device}`,
    `data        ${data}: ${trainer.loader.rows} rows, train on ${training.train_on}${training.packed ? ", packed" : ""}`,
    `steps       ${training.steps} of ${training.local_batch_size} x ${training.seq_len} positions${accumulation}, up to ${formatCount(derived.positionsPerStep * training.steps)} tokens in all`,
    ...(derived.worldSize > 1 ? [`processes   ${derived.worldSize}: ${division.join(", ")}`] : []),
    `optimizer   ${optimizer.name}, lr ${optimizer.lr}, ${derived.warmupSteps} steps of warm-up`,
    `memory      about ${gibibytes(forecast.totalBytes)} ${derived.worldSize > 1 ? "a process, " : ""}beside the program (activation checkpointing: ${checkpointing.mode})${main}${snapshot}`,
    ...tooMuch(trainer),
    `run folder  ${trainer.run.path}`,
  ];
}

/** Where this machine's main memory can't hold it: not refused, since a forecast may be wrong. */
function tooMuch({ config, forecast }: Trainer): string[] {
  const here = Number(process.env["LOCAL_WORLD_SIZE"] ?? config.processes.procs);
  const needed = here * (config.processes.with_gpus ? forecast.mainBytes : forecast.totalBytes);
  const has = Math.min(totalmem(), process.constrainedMemory() || Infinity);
  if (needed <= has) return [];
  const processes = here > 1 ? ` for ${here} processes` : "";
  return [
    `            that is more than this machine's ${gibibytes(has)}${processes}: the run will likely be killed; lower training.seq_len or training.local_batch_size, or take more machines`,
  ];
}
