// One rank of bench:parallel: the trainer on rows of exactly seq_len, every position trained, so that its work is that of the
// peers' padded rows. RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say which rank; without them it is one process.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import {
  destroyProcessGroup,
  initProcessGroup,
  isLaunched,
  readLaunchEnv,
  waitedMilliseconds,
} from "../src/comm/index.ts";
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
    tensor: { type: "string", default: "1" },
    pipeline: { type: "string", default: "1" },
    context: { type: "string", default: "1" },
    // Random weights: the model's folder needs none.
    random: { type: "boolean", default: false },
    // disabled | async | async_with_pinned_mem: also measures what a save keeps training waiting.
    save: { type: "string" },
  },
});

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
      parallelism: {
        data_parallel_replicate_degree: Number(args.replicate),
        tensor_parallel_degree: Number(args.tensor),
        pipeline_parallel_degree: Number(args.pipeline),
        context_parallel_degree: Number(args.context),
      },
      optimizer: { lr: 1e-5, weight_decay: 0 },
      training: {
        dataset: args.data!,
        seq_len: Number(args["seq-len"]),
        local_batch_size: Number(args.batch),
        steps: 1000,
        train_on: "all",
      },
      checkpoint:
        args.save === undefined
          ? { enable: false, initial_load_in_hf: !args.random }
          : { enable: true, interval: 1000, keep_latest_k: 2, async_mode: args.save as "disabled" },
    }),
  );
  const stateBytes = memoryStats().currentBytes;
  const done: { seconds: number; waitedMs: number; peakBytes: number }[] = [];
  for (let i = 0; i < Number(args.steps) + warmUp; i++) {
    // What a rank waits for the others while it could compute: the part of communication that isn't hidden.
    const before = waitedMilliseconds();
    const { stepSeconds, peakBytes } = trainer.measure();
    done.push({ seconds: stepSeconds, waitedMs: waitedMilliseconds() - before, peakBytes });
  }
  const timed = done.slice(warmUp);
  const peaks = await trainer.ranks.gather({
    rss: process.resourceUsage().maxRSS / 1024,
    waited: median(timed.map((one) => one.waitedMs)),
  });
  const tokens = Number(args["seq-len"]) * Number(args.batch) * trainer.ranks.data.worldSize;
  let saveMs: number | undefined;
  // The first save of a run takes its memory new.
  for (let i = 0; args.save !== undefined && i < 3; i++) {
    await trainer.trainStep();
    await trainer.ranks.barrier();
    const begin = performance.now();
    await trainer.save();
    saveMs = i === 0 ? Infinity : Math.min(saveMs!, performance.now() - begin);
    await trainer.checkpointer.settle();
  }
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
        ...(saveMs !== undefined && { save_ms: saveMs }),
      }),
    );
  }
  await trainer.ranks.barrier();
  await trainer.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (size > 1) await destroyProcessGroup();
process.exit();
