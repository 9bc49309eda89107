// Where programs and the parts that need libtorch are. Naming a file is not importing it: the controller loads none of them.
const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const file = (path: string): URL => new URL(`../../${path}.${extension}`, import.meta.url);

/** The worker's program. */
export const workerProgram = file("train/worker");
/** The module that joins a process to the others of its run (see world.ts). */
export const worldModule = file("train/world");
/** A worker's thread that notices the controller's death. */
export const orphanWatchProgram = file("actors/worker/orphan-watch");
