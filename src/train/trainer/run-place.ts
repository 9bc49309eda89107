// The run's folder as its ranks see it. Rank 0 opens it (metrics' RunFolder); the others know where it is, and write nothing
// there.
import { isAbsolute, resolve } from "node:path";

import { findLatest, lacksExport } from "../../checkpoint/index.ts";
import { flightRecorderFolder } from "../../comm/index.ts";
import type { Config } from "../../config/index.ts";
import { automaticName, RunFolder } from "../../metrics/index.ts";
import type { Ranks } from "../../parallel/index.ts";
import { info } from "../../torch/index.ts";
import { messageOf } from "../../util/index.ts";

export interface RunPlace extends Pick<
  RunFolder,
  "path" | "resolve" | "recordBest" | "recordData" | "configure" | "end"
> {
  /** False of a run that is finished already, until `open`: its folder stays as it is. The same on every rank. */
  readonly isOpen: boolean;
  /** Before the first thing is written into it. @throws UserError on rank 0, where another process is running in it */
  open(): void;
}

/** Opens the folder on rank 0, and tells the others where it is; every rank calls it. */
export async function openRun(config: Config, ranks: Ranks): Promise<RunPlace> {
  const { comm } = config.spec;
  let own: RunPlace | undefined;
  const { path, isOpen } = await ranks.fromRank0(() => {
    own = isFinished(config) ? finishedRun(config) : openFolder(config);
    return { path: own.path, isOpen: own.isOpen };
  });
  const run = own ?? otherRanksRun(path, isOpen);
  flightRecorderFolder(run.resolve(comm.saveTracesFolder));
  return run;
}

function openFolder(config: Config, name = config.spec.job.name): RunPlace {
  const { checkpoint, job, model, steps } = config.spec;
  const opened = RunFolder.open({
    ...job,
    name,
    description: config.textOf("job.description"),
    model: model.hfAssetsPath,
    modelText: config.textOf("model.hf_assets_path"),
    steps,
    configYaml: config.toYaml(),
    versions: { torch: info().torchVersion },
  });
  const { enable, loadOnly, folder } = checkpoint;
  try {
    if (enable && !loadOnly) opened.claim(opened.resolve(folder), "checkpoint.folder");
  } catch (error) {
    opened.end("failed", messageOf(error));
    throw error;
  }
  return Object.assign(opened, { isOpen: true, open: () => undefined });
}

/** Whether the run's checkpoints are those of a run that has done all its steps. Doesn't judge what it finds: that comes later. */
function isFinished({ spec }: Config): boolean {
  const { checkpoint, job, steps } = spec;
  const { enable, folder, lastSaveInHf, lastSaveModelOnly, loadOnly } = checkpoint;
  if (!enable || (job.name === null && !isAbsolute(folder))) return false;
  const latest = findLatest(resolve(job.dumpFolder, job.name ?? "", folder));
  if (latest === undefined || latest.step < steps || checkpoint.loadStep >= 0) return false;
  const wantsExport = lastSaveInHf && !lastSaveModelOnly && !loadOnly;
  return !(wantsExport && lacksExport(latest));
}

/** The folder of a finished run: nothing is written into it before it is opened. */
function finishedRun(config: Config): RunPlace {
  const { job, model } = config.spec;
  const name = job.name ?? automaticName(model.hfAssetsPath, new Date());
  const path = resolve(job.dumpFolder, name);
  let opened: RunPlace | undefined;
  let known: Parameters<RunPlace["recordData"]>[0] | undefined;
  return {
    path,
    get isOpen() {
      return opened !== undefined;
    },
    resolve: (relative) => resolve(path, relative),
    open: () => {
      opened ??= openFolder(config, name);
      if (known !== undefined) opened.recordData(known);
    },
    recordBest: (best) => opened?.recordBest(best),
    recordData: (data) => void (known = data),
    configure: (...how) => opened?.configure(...how),
    end: (...how) => opened?.end(...how),
  };
}

/** The folder that another rank has opened. */
function otherRanksRun(path: string, wasOpen: boolean): RunPlace {
  let isOpen = wasOpen;
  return {
    path,
    get isOpen() {
      return isOpen;
    },
    open: () => void (isOpen = true),
    resolve: (relative) => resolve(path, relative),
    recordBest: () => undefined,
    recordData: () => undefined,
    configure: () => undefined,
    end: () => undefined,
  };
}
