// torchforge as a peer of bench:peers: the trainer on the peers' model, rows and settings, with their clock and their
// line of JSON (shared/bench/peers/common.py). `--full` takes synthetic rows of exactly seq_len, nothing padded or masked.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { Config } from "../src/config/index.ts";
import { flopsPerToken } from "../src/models/index.ts";
import { call, empty, randn, setNumThreads } from "../src/torch/index.ts";
import { Trainer } from "../src/train/index.ts";
import { median } from "./harness.ts";

const { values: args } = parseArgs({
  options: {
    model: { type: "string" },
    data: { type: "string" },
    "seq-len": { type: "string", default: "512" },
    batch: { type: "string", default: "2" },
    steps: { type: "string", default: "8" },
    threads: { type: "string", default: "2" },
    "completion-only": { type: "boolean", default: false },
    full: { type: "boolean", default: false },
  },
});

/** Seconds since the kernel started this process: counts Node's start and every import. */
function processAge(): number {
  const started =
    Number(
      readFileSync("/proc/self/stat", "utf8")
        .replace(/^.*\) /, "")
        .split(" ")[19],
    ) / 100;
  return Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) - started;
}

const warmUp = 2;
let counted = 0;
const seqLen = Number(args["seq-len"]);
const batchSize = Number(args.batch);
const steps = Number(args.steps);
setNumThreads(Number(args.threads));
const folder = mkdtempSync(join(tmpdir(), "torchforge-peer-"));
try {
  const trainer = await Trainer.create(
    Config.create({
      job: { dump_folder: folder },
      model: { hf_assets_path: args.model! },
      optimizer: { lr: 1e-5, weight_decay: 0 },
      training: {
        dataset: args.data!,
        seq_len: seqLen,
        local_batch_size: batchSize,
        steps: 1000,
        train_on: args["completion-only"] ? "assistant" : "all",
      },
      checkpoint: { enable: false },
    }),
  );
  const flops = flopsPerToken(trainer.modelConfig, seqLen);
  await trainer.loader.peek(); // a step begins with its batch in hand, as the peers' does
  const startup = processAge();
  const probe = makeProbe();
  const rates = [probe(4)];
  const done: { seconds: number; tokens: number; loss: number }[] = [];
  for (let i = 0; i < steps; i++) {
    const begin = performance.now();
    const { loss, tokens } = args.full ? fullStep(trainer) : await step(trainer);
    done.push({ seconds: (performance.now() - begin) / 1000, tokens, loss });
    rates.push(probe(2));
  }
  const timed = done.slice(steps > warmUp ? warmUp : 0);
  const around = rates
    .slice(1)
    .map((rate, i) => (rate + rates[i]!) / 2)
    .slice(steps > warmUp ? warmUp : 0);
  console.log(
    JSON.stringify({
      peer: "torchforge",
      real_tokens_per_s: median(timed.map((one) => one.tokens / one.seconds)),
      tokens_per_s: median(timed.map((one) => one.tokens / one.seconds)),
      step_ms: median(timed.map((one) => one.seconds * 1000)),
      mfu: median(timed.map((one, i) => (one.tokens * flops) / one.seconds / 1e9 / around[i]!)),
      machine_gflops: median(around),
      startup_s: startup,
      first_step_done_s: startup + done[0]!.seconds,
      peak_rss_mb: process.resourceUsage().maxRSS / 1024,
      losses: done.map((one) => one.loss),
    }),
  );
  await trainer.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit();

async function step(trainer: Trainer): Promise<{ loss: number; tokens: number }> {
  const record = await trainer.trainStep();
  if (record.kind !== "train") throw new Error("expected a step");
  const tokens = record.num_tokens - counted;
  counted = record.num_tokens;
  return { loss: record.loss, tokens };
}

function fullStep(trainer: Trainer): { loss: number; tokens: number } {
  trainer.measure();
  return { loss: 0, tokens: seqLen * batchSize };
}

/** The machine's fp32 rate at this moment, in GFLOP/s, from products of 2048 cubed. */
function makeProbe(): (times: number) => number {
  const a = randn([2048, 2048]);
  const b = randn([2048, 2048]);
  const out = empty([2048, 2048]);
  return (times) => {
    const begin = performance.now();
    for (let i = 0; i < times; i++) call("aten::mm.out", a, b, out);
    return (2 * 2048 ** 3 * times) / (performance.now() - begin) / 1e6;
  };
}
