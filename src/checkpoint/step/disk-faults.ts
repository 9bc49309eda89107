// A save that fails because of the disk, told as what the user can mend.
import { UserError } from "../../util/index.ts";
import { findLatest, stepPath, type CheckpointInfo } from "./step-folder.ts";

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on the disk",
  EDQUOT: "the disk quota is used up",
  EFBIG: "a file would be larger than the file size limit (ulimit -f)",
  EROFS: "the file system is read-only",
  EACCES: "permission is denied",
  EPERM: "permission is denied",
  EIO: "the disk reports an error",
  ENOTDIR: "a part of the path is a file",
};

/** The error itself where the disk has no part in it. */
export function explainDiskFault(error: unknown, folder: string, step: number): unknown {
  let at: unknown = error;
  let reason: string | undefined;
  while (at instanceof Error && reason === undefined) {
    reason = reasons[(at as NodeJS.ErrnoException).code ?? ""];
    at = at.cause;
  }
  if (reason === undefined) return error;
  const latest = latestIn(folder);
  const intact = latest
    ? `The checkpoint of step ${latest.step} is intact: after making room, the same command resumes from it.`
    : "No earlier checkpoint is there.";
  return new UserError(
    `${stepPath(folder, step)}: the checkpoint could not be saved: ${reason}. ${intact} checkpoint.folder chooses another place, checkpoint.keep_latest_k keeps fewer.`,
    { cause: error },
  );
}

function latestIn(folder: string): CheckpointInfo | undefined {
  try {
    return findLatest(folder);
  } catch {
    return undefined;
  }
}
