// Where the parts that need libtorch are. Naming a file is not importing it: the controller loads nothing of them.
const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const file = (path: string): URL => new URL(`../train/${path}.${extension}`, import.meta.url);

/** The worker's program. */
export const workerProgram = file("worker");
/** The module that joins a process to the others of its run (see world.ts). */
export const worldModule = file("world");
