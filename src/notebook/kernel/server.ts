// The program of the server thread, which owns the sockets, so that the kernel answers while a cell is busy. Cells run on the
// main thread, one after another; other requests are answered at once.
import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";

import type { Connection } from "./protocol/connection-file.ts";
import { KernelServer } from "./kernel-server.ts";

const server = new KernelServer(workerData as Connection, parentPort!);
await server.listen();

// If the Jupyter process that started the kernel is gone, nobody else will end it.
const parent = process.ppid;
if (process.env["JPY_PARENT_PID"] !== undefined) {
  setInterval(() => {
    if (process.ppid !== parent) void server.shutdown();
  }, 1_000).unref();
}
