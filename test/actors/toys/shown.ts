// A program that runs a Counter with the ordinary screen.
import { SpawnActor } from "../../../src/actors/index.ts";
import { configFor } from "../setting.ts";
import { Counter } from "./counter.ts";

const procs = Number(process.argv[2]);
await using spawner = new SpawnActor(Counter, configFor(procs, "", { training: { steps: 4 } }));
const actor = await spawner.spawn();
await spawner.setup();
await actor.all.print("hello");
await spawner.run();
