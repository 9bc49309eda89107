// An actor's whole lifecycle in one call.
import type { Config, ConfigInput } from "../../config/index.ts";
import type { ActorClass, BaseForgeActor } from "../base-forge-actor.ts";
import { SpawnActor, type ResultOf, type SpawnOptions } from "./spawn-actor.ts";

/**
 * Spawns the actor, sets it up, runs it and cleans up. Resolves to what its run() returns on rank 0.
 * @example
 * ```ts no-run
 * import { presets, runActor, TrainerActor } from "torchforge";
 *
 * const { checkpoint } = await runActor(TrainerActor, presets.quickTest({ model: { hf_assets_path: "./model" } }));
 * console.log(checkpoint);
 * ```
 */
export function runActor<A extends BaseForgeActor>(
  actorClass: ActorClass<A>,
  config: Config | ConfigInput,
  options: SpawnOptions = {},
): Promise<ResultOf<A>> {
  return new SpawnActor(actorClass, config, options).runFullLifecycle();
}
