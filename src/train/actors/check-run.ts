// What can be said of a run before a process is started or anything is loaded: GPUs, folders, model, data, and whether the
// model can be divided as asked. Every front comes here, by the actors' checkConfig: commands, notebooks, code, launched ranks.
import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";

import type { Config, RunSpec } from "../../config/index.ts";
import { checkFolder } from "../../metrics/index.ts";
import { checkpointPath, isCheckpoint } from "../../util/index.ts";
import { refuseWithoutGpu } from "./supported.ts";

/** A run of training. @throws UserError */
export async function checkRun({ spec }: Config): Promise<void> {
  refuseWithoutGpu(spec);
  const { folder, enable, loadOnly } = spec.checkpoint;
  checkFolder(spec.job.dumpFolder, "job.dump_folder");
  // A relative one lies in the run's folder.
  if (isAbsolute(folder) && enable && !loadOnly) checkFolder(folder, "checkpoint.folder");
  await checkModels(spec);
  await checkDivision(spec);
  await checkExports(spec);
  const { checkData, trainingDatasets } = await import("../../data/index.ts");
  await checkData([...trainingDatasets(spec), ...spec.evaluation.datasets]);
}

/** Of a model of the hub this is told at the end. */
async function checkExports(spec: RunSpec): Promise<void> {
  const { hfAssetsPath: folder } = spec.model;
  if (spec.checkpoint.export.length === 0 || !existsSync(join(folder, "config.json"))) return;
  const { checkExportOfRun } = await import("../../export/index.ts");
  checkExportOfRun(spec, folder);
}

/** The models that a run names are there. @throws UserError */
export async function checkModels({ model, checkpoint }: RunSpec): Promise<void> {
  const { checkModel } = await import("../../hub/index.ts");
  await checkModel(model.hfAssetsPath);
  if (checkpoint.initialLoadPath === null) return;
  const initial = checkpointPath(checkpoint.initialLoadPath);
  if (!isCheckpoint(initial)) await checkModel(initial, { key: "checkpoint.initial_load_path" });
}

/** Of a model of the hub this is checked when it is there (trainer/build.ts). */
async function checkDivision(spec: RunSpec): Promise<void> {
  const { name, flavor, hfAssetsPath: folder } = spec.model;
  if (!existsSync(join(folder, "config.json"))) return;
  const { checkFlavor, readModelConfig } = await import("../../models/index.ts");
  const model = readModelConfig(folder);
  checkFlavor(name, flavor, model);
  if (spec.worldSize === 1) return;
  const { ParallelDims, stagesPerRank } = await import("../../parallel/index.ts");
  ParallelDims.of(spec).checkModel(model, stagesPerRank(spec.pipelineSchedule));
}
