// One rank of bench:parallel: the trainer on rows of exactly seq_len, every position trained, so that its work is that of the
// peers' padded rows. RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say which rank; without them it is one process.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { destroyProcessGroup, initProcessGroup, isLaunched, readLaunchEnv, Work } from "../src/comm/index.ts";
import { Config } from "../src/config/index.ts";
import { memoryStats, setNumThreads } from "../src/torch/index.ts";
import { Trainer } from "../src/train/index.ts";
import { median } from "./harness.ts";

const { values: args } = parseArgs({
  options: {
    model: { type: "string" },
    data: { type: "string" },
    "seq-len": { type: "string", default: "512" },
    batch: { type: "string", default: "1" },
    steps: { type: "string", default: "5" },
    threads: { type: "string", default: "1" },
    replicate: { type: "string", default: "1" },
  },
});

// What a rank waits for the others while it could compute: the part of communication that isn't hidden.
let waited = 0;
const wait = Object.getOwnPropertyDescriptor(Work.prototype, "wait")!.value as (
  this: Work<unknown>,
) => unknown;
Work.prototype.wait = function timed(this: Work<unknown>) {
  const begin = performance.now();
  try {
    return wait.call(this);
  } finally {
    waited += performance.now() - begin;
  }
};

const warmUp = 2;
const size = isLaunched() ? readLaunchEnv().worldSize : 1;
setNumThreads(Number(args.threads));
if (size > 1) await initProcessGroup();
const folder = mkdtempSync(join(tmpdir(), "torchforge-ranks-"));
try {
  const trainer = await Trainer.create(
    Config.create({
      job: { dump_folder: folder },
      model: { hf_assets_path: args.model! },
      processes: { procs: size },
      parallelism: { data_parallel_replicate_degree: Number(args.replicate) },
      optimizer: { lr: 1e-5, weight_decay: 0 },
      training: {
        dataset: args.data!,
        seq_len: Number(args["seq-len"]),
        local_batch_size: Number(args.batch),
        steps: 1000,
        train_on: "all",
      },
      checkpoint: { enable: false },
    }),
  );
  const stateBytes = memoryStats().currentBytes;
  const done: { seconds: number; waitedMs: number; peakBytes: number }[] = [];
  for (let i = 0; i < Number(args.steps) + warmUp; i++) {
    waited = 0;
    const { stepSeconds, peakBytes } = trainer.measure();
    done.push({ seconds: stepSeconds, waitedMs: waited, peakBytes });
  }
  const timed = done.slice(warmUp);
  const peaks = await trainer.ranks.gather({
    rss: process.resourceUsage().maxRSS / 1024,
    waited: median(timed.map((one) => one.waitedMs)),
  });
  const tokens = Number(args["seq-len"]) * Number(args.batch) * size;
  if (trainer.ranks.isFirst) {
    console.log(
      JSON.stringify({
        peer: "torchforge",
        tokens_per_s: median(timed.map((one) => tokens / one.seconds)),
        step_ms: median(timed.map((one) => one.seconds * 1000)),
        waited_ms: Math.max(...peaks.map((one) => one.waited)),
        state_mb: stateBytes / 2 ** 20,
        peak_tensors_mb: Math.max(...timed.map((one) => one.peakBytes)) / 2 ** 20,
        peak_rss_mb: Math.max(...peaks.map((one) => one.rss)),
      }),
    );
  }
  await trainer.ranks.meet();
  await trainer.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (size > 1) await destroyProcessGroup();
process.exit();
