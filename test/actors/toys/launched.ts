// A program for a launcher: the same script on every rank; prints what its rank knows.
import { runActor, SpawnActor } from "../../../src/actors/index.ts";
import { configFor } from "../setting.ts";
import { Summer } from "./summer.ts";

const config = configFor(1);
if (process.argv[2] === "phases") {
  await using spawner = new SpawnActor(Summer, config);
  const actor = await spawner.spawn();
  await spawner.setup();
  const [rank, size, ranks] = [await actor.rank, await actor.worldSize, await actor.ranksAtSetup];
  const sum = await spawner.run();
  process.stdout.write(
    `rank ${rank} of ${size} (${ranks.join()}): sum ${sum}, workers ${spawner.pids.length}\n`,
  );
} else {
  process.stdout.write(`result ${await runActor(Summer, config)}\n`);
}
