// A program that defines an actor and spawns it from the same file, which then runs in the worker too.
import { BaseForgeActor, runActor } from "../../../src/actors/index.ts";
import { configFor } from "../setting.ts";

export class Lonely extends BaseForgeActor {
  setup(): void {}
  run(): string {
    return "ran";
  }
  cleanup(): void {}
}

if (process.env["GUARDED"] === undefined || import.meta.main)
  console.log(await runActor(Lonely, configFor(1)));
