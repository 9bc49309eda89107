// An actor that does not heed a wish to stop.
import { BaseForgeActor } from "../../../src/actors/index.ts";

export class Deaf extends BaseForgeActor {
  setup(): void {}

  async run(): Promise<void> {
    this.text("interrupt me");
    await new Promise(() => setInterval(() => undefined, 1000));
  }

  cleanup(): void {}
}
