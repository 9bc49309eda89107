// Work in other processes: a controller without libtorch, workers with it.
export { trainWorkerProgram } from "./programs.ts";
export type { FromWorker, Job, ToWorker, WireError } from "./protocol.ts";
export { WorkerDied, WorkerHost, type WorkerHooks } from "./worker-host.ts";
