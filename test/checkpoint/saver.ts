// A process that the kill tests end at random moments: it resumes where the folder's checkpoints are and saves one after
// another, as fast as it can. `node saver.ts FOLDER STEPS [MEBIBYTES] [ASYNC_MODE]` prints "resumed N" and then "saved N" for each checkpoint that is there.
import { Checkpointer } from "../../src/checkpoint/index.ts";
import * as torch from "../../src/torch/index.ts";
import { makeOptimizer } from "../../src/optim/index.ts";

const [folder = "", steps = "0", mebibytes = "1", mode = "disabled"] = process.argv.slice(2);
torch.setNumThreads(1);
torch.manualSeed(1);

const model = new Map<string, torch.Tensor>();
for (let i = 0; i < Number(mebibytes); i++)
  model.set(`layers.${i}.weight`, torch.randn([512, 512]).requiresGrad_());
const optimizer = makeOptimizer({}, model);
const checkpointer = new Checkpointer({
  folder,
  steps: 1_000_000,
  interval: 1,
  keepLatestK: 2,
  asyncMode: mode as "async",
});
checkpointer.clean();

const onComplete = (step: number): void => console.log(`saved ${step}`);

let done = 0;
const start = checkpointer.start();
if (start.kind === "resume") {
  const resumed = checkpointer.resume(start.checkpoint, { model, optimizer });
  done = resumed.step;
}
console.log(`resumed ${done}`);
for (; done < Number(steps);) {
  for (const param of model.values()) {
    using _ = torch.scope();
    param.grad = torch.randn([512, 512]);
  }
  optimizer.step(0.001);
  done++;
  const parts = { train_state: { step: done } };
  await checkpointer.save({ step: done, model, optimizer: optimizer.state(), parts, onComplete });
}
await checkpointer.close();
