// A thread of a worker process: where the controller is gone and the main thread is too busy to notice, it removes what this
// process was writing and ends it.
import { parentPort, workerData } from "node:worker_threads";

import { removeLeftovers } from "../../util/index.ts";

const parent = workerData as number;
let folders: readonly string[] = [];
parentPort!.on("message", (written: readonly string[]) => (folders = written));
setInterval(() => {
  if (process.ppid === parent) return;
  for (const folder of folders) removeLeftovers(folder, process.pid);
  process.kill(process.pid, "SIGKILL");
}, 1000);
