// The program of a worker process: one rank of an actor's run. It prints nothing itself.
import { serveWorker } from "../actors/index.ts";
import { world } from "./world.ts";

serveWorker(world);
