// The server thread's program: owns the sockets, so that the kernel answers while a cell is busy. Cells run on the main
// thread, one after another; everything else is answered at once.
import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";

import type { Connection } from "./connection-file.ts";
import { KernelServer } from "./kernel-server.ts";

const server = new KernelServer(workerData as Connection, parentPort!);
await server.listen();

// Jupyter's own process that started this one is gone: nobody will ever end it.
const parent = process.ppid;
if (process.env["JPY_PARENT_PID"] !== undefined) {
  setInterval(() => {
    if (process.ppid !== parent) void server.shutdown();
  }, 1_000).unref();
}
