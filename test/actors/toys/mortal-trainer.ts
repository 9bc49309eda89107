// A trainer that dies or stops by itself after certain steps, each once in its run's folder, as its configuration's
// description says: `die after 2,5 on 0`, `stop after 2 on 1`. From outside a quick run would be over before.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { TrainerActor } from "../../../src/index.ts";

export class MortalTrainer extends TrainerActor {
  override async setup(): Promise<void> {
    await super.setup();
    const [how, , steps = "", , rank] = this.config.job.description.split(" ");
    if (Number(rank) !== this.rank) return;
    const plan = steps.split(",").map(Number);
    const markOf = (step: number): string => join(this.runFolder!, `${how}-after-${step}`);
    // Between two steps the loop turns once, and a step takes longer than this.
    setInterval(() => {
      const due = plan.find((step) => step <= this.currentStep && !existsSync(markOf(step)));
      if (due === undefined) return;
      writeFileSync(markOf(due), "");
      if (how === "die") process.kill(process.pid, "SIGKILL");
      else this.stop();
    }, 1);
  }
}
