// A save that fails because of the disk, told as what the user can mend.
import { UserError } from "../../util/index.ts";
import { exportPath, listCheckpoints, stepPath, type CheckpointInfo } from "./step-folder.ts";

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

export interface DiskFaultOptions {
  /** It was the model's export that failed, not the checkpoint. */
  readonly isExport?: boolean | undefined;
  /** What resumes the run. Default: the same command. */
  readonly again?: string | undefined;
}

/** The error itself where the disk has no part in it. */
export function explainDiskFault(
  error: unknown,
  folder: string,
  step: number,
  { isExport = false, again = "the same command" }: DiskFaultOptions = {},
): unknown {
  let at: unknown = error;
  let reason: string | undefined;
  while (at instanceof Error && reason === undefined) {
    reason = reasons[(at as NodeJS.ErrnoException).code ?? ""];
    at = at.cause;
  }
  if (reason === undefined) return error;
  const latest = latestIn(folder);
  const path = isExport ? exportPath(folder, step) : stepPath(folder, step);
  const what = isExport ? "the model could not be exported" : "the checkpoint could not be saved";
  const advice = latest
    ? `The checkpoint of step ${latest.step} is intact: when there is room again (older step folders may be removed), ${again} ${isExport ? "exports it" : "resumes from it"}. A lower checkpoint.keep_latest_k keeps fewer.`
    : "No earlier checkpoint is there; checkpoint.folder chooses another place.";
  return new UserError(`${path}: ${what}: ${reason}. ${advice}`, { cause: error });
}

/** The checkpoint that a resume would take. */
function latestIn(folder: string): CheckpointInfo | undefined {
  try {
    return listCheckpoints(folder).complete.findLast(({ manifest }) => manifest.kind === "full");
  } catch {
    return undefined;
  }
}
