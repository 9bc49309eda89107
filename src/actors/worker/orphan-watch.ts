// A thread in each worker process. When the controller is gone and the main thread is too busy to notice, it removes the
// unfinished files of this process and kills it.
import { parentPort, workerData } from "node:worker_threads";

import { removeLeftovers } from "../../util/index.ts";

const parent = workerData as number;
let folders: readonly string[] = [];
parentPort!.on("message", (next: readonly string[]) => (folders = next));
setInterval(() => {
  if (process.ppid === parent) return;
  for (const folder of folders) removeLeftovers(folder, process.pid);
  process.kill(process.pid, "SIGKILL");
}, 1000);
