// A training process for the tests: `node train.ts CONFIG [overrides]` trains and prints a line a step, with the loss in
// full. It is what `forge sft` runs, without its screen.
import { Config } from "../../src/config/index.ts";
import { setNumThreads } from "../../src/torch/index.ts";
import { Trainer } from "../../src/train/trainer/trainer.ts";

const [path = "", ...overrides] = process.argv.slice(2);
setNumThreads(1);
const trainer = await Trainer.create(Config.fromYaml(path, { overrides }), {
  onRecord: (record) => {
    if (record.kind === "train") console.log(`step ${record.step} ${record.loss} ${record.grad_norm}`);
  },
  onNote: (text) => console.log(`note ${text}`),
});
await trainer.train();
await trainer.close();
