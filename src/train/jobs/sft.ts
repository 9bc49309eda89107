// The job of `forge sft`: train as the configuration says.
import { Config, type ConfigInput } from "../../config/index.ts";
import { describeRun } from "../describe-run.ts";
import { Trainer, type TrainerResult } from "../trainer.ts";
import type { JobContext } from "./context.ts";

export async function run(job: { config: ConfigInput }, context: JobContext): Promise<TrainerResult> {
  const trainer = await Trainer.create(Config.create(job.config), {
    onNote: context.note,
    onRecord: context.record,
  });
  try {
    for (const line of describeRun(trainer)) context.note(line);
    context.onStop(() => trainer.stop());
    return await trainer.train();
  } finally {
    await trainer.close();
  }
}
