// One rank of a training run: `train.ts CONFIG EVENT [overrides]`, or of one run after another, without arguments (see
// rank-pool.ts). Tells its losses, its result and its error.
import { setTimeout as sleep } from "node:timers/promises";

import { Config } from "../../../src/config/index.ts";
import { NonFiniteError, Trainer } from "../../../src/train/index.ts";
import { memoryStats, noGrad } from "../../../src/torch/index.ts";
import { joinWorld, leave, leaveWorld, rank, tell } from "../../comm/rank.ts";

async function run([path = "", event = "", ...overrides]: readonly string[]): Promise<void> {
  const [what, at] = event.split("@");
  const config = Config.fromYaml(path, { overrides });
  const entries = config.comm.trace_buf_size;
  await joinWorld({ timeoutSeconds: 600, ...(entries > 0 && { flightRecorder: { entries } }) });
  const losses: number[] = [];
  const evals: number[] = [];
  const notes: string[] = [];
  const trainer = await Trainer.create(config, {
    onRecord: (record) => {
      if (record.kind === "train") losses.push(record.loss);
      else evals.push(record.eval_loss);
    },
    onNote: (text) => notes.push(text),
  });
  const { currentBytes, peakBytes } = memoryStats();
  tell({ note: "memory", value: { currentBytes, peakBytes } });
  // Something happens on the last rank alone, before the step `at`.
  const step = trainer.trainStep.bind(trainer);
  trainer.trainStep = async () => {
    if (rank === Number(process.env["TEST_SIZE"]) - 1 && trainer.currentStep === Number(at)) {
      if (what === "stop") trainer.stop();
      if (what === "late" && trainer.currentStep > 0) await sleep(12_000);
      if (what === "nan") noGrad(() => [...trainer.strategy.parameters.values()][1]!.fill_(Number.NaN));
    }
    if (what === "late" && rank === Number(process.env["TEST_SIZE"]) - 1 && trainer.currentStep === 0)
      await sleep(5_000);
    return await step();
  };
  // And in the middle of the save after that step.
  const save = trainer.save.bind(trainer);
  trainer.save = async () => {
    const saving = save();
    if (rank === Number(process.env["TEST_SIZE"]) - 1 && what === "die" && trainer.currentStep === Number(at))
      process.kill(process.pid, "SIGKILL");
    return await saving;
  };
  try {
    tell({ note: "result", value: await trainer.train() });
  } catch (error) {
    const name = error instanceof NonFiniteError ? "NonFiniteError" : "other";
    tell({ note: "error", value: `${name}: ${(error as Error).message}` });
  }
  tell({ note: "losses", value: losses });
  tell({ note: "evals", value: evals });
  tell({ note: "notes", value: notes });
  await trainer.close();
  trainer.model.dispose();
}

const args = process.argv.slice(2);
if (args.length > 0) {
  await run(args);
  leave();
} else {
  const serve = async (one: readonly string[]): Promise<void> => {
    await run(one);
    await leaveWorld();
    tell({ note: "done", value: true });
  };
  process.on("message", (message: { run: string[] } | { port: number }) => {
    if ("run" in message) void serve(message.run);
  });
}
