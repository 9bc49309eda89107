// Where the programs of worker processes are. Naming a file is not importing it: the controller loads nothing of them.
import { fileURLToPath } from "node:url";

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";

/** Trains, evaluates, generates. */
export const trainWorkerProgram = fileURLToPath(new URL(`../train/worker.${extension}`, import.meta.url));
