// URLs of the worker's programs and of the modules that need libtorch. The controller only names them, and never loads them.
const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const file = (path: string): URL => new URL(`../../${path}.${extension}`, import.meta.url);

/** The worker's main program. */
export const workerProgram = file("train/worker");
/** The module that connects a process to the other ranks (see world.ts). */
export const worldModule = file("train/world");
/** The worker's thread that notices the controller's death. */
export const orphanWatchProgram = file("actors/worker/orphan-watch");
