// Which of the GPUs that a process sees is its own.
import { info } from "./introspect.ts";

/**
 * Its LOCAL_RANK's; 0 where it sees one alone, as a task of `srun --gpus-per-task=1` does whatever its rank. Where there are
 * fewer GPUs than processes, which share them then (Gloo), one after the other.
 */
export function localDevice(localRank: number, deviceCount: number = info().deviceCount): number {
  return deviceCount > 0 ? localRank % deviceCount : localRank;
}
