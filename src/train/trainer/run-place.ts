// The run's folder as its ranks see it. Rank 0 opens it (metrics' RunFolder); the others know where it is, and write nothing
// there.
import { isAbsolute, join } from "node:path";

import { flightRecorderFolder } from "../../comm/index.ts";
import type { Config } from "../../config/index.ts";
import { RunFolder } from "../../metrics/index.ts";
import type { Ranks } from "../../parallel/index.ts";
import { info } from "../../torch/index.ts";
import { messageOf } from "../../util/index.ts";

export type RunPlace = Pick<RunFolder, "path" | "resolve" | "configure" | "end">;

/** Opens the folder on rank 0, and tells the others where it is; every rank calls it. */
export async function openRun(config: Config, ranks: Ranks): Promise<RunPlace> {
  const { checkpoint, comm, job, model, steps } = config.spec;
  let opened: RunFolder | undefined;
  const path = await ranks.fromRank0(() => {
    opened = RunFolder.open({
      ...job,
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
    return opened.path;
  });
  const run = opened ?? otherRanksRun(path);
  flightRecorderFolder(run.resolve(comm.saveTracesFolder));
  return run;
}

/** The folder that another rank has opened. */
function otherRanksRun(path: string): RunPlace {
  return {
    path,
    resolve: (relative) => (isAbsolute(relative) ? relative : join(path, relative)),
    configure: () => undefined,
    end: () => undefined,
  };
}
