// An actor's whole life in one line.
import type { Config, ConfigInput } from "../../config/index.ts";
import type { ActorClass, BaseForgeActor } from "../base-forge-actor.ts";
import { SpawnActor, type ResultOf, type SpawnOptions } from "./spawn-actor.ts";

/** Spawns the actor, sets it up, runs it and cleans up; gives what its run() returns on rank 0. */
export function runActor<A extends BaseForgeActor>(
  actorClass: ActorClass<A>,
  config: Config | ConfigInput,
  options: SpawnOptions = {},
): Promise<ResultOf<A>> {
  return new SpawnActor(actorClass, config, options).runFullLifecycle();
}
