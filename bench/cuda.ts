// Training on one CUDA device: tokens/s and peak memory here and in loops over Transformers' Llama (bench/cuda.py: plain, with
// Liger's kernels, compiled, both), on models of random weights and full rows, with fused AdamW on both sides. Each contender
// is a process of its own, and prints its line when it is done, so that a run that is cut off still tells.
//
//   node bench/cuda.ts [--size NAME,...] [--own MODE,...] [--peers NAME,...] [--quick]
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";

import { median, quick, report, round, runPython, type Bar } from "./harness.ts";

interface Size {
  readonly name: string;
  readonly batch: number;
  readonly seqLen: number;
  /** Of the weights; products are in bfloat16 in any case. */
  readonly dtype: "float32" | "bfloat16";
  readonly peers: readonly string[];
  /** tokens/s over the best peer's. */
  readonly bar: number;
  readonly config: Readonly<Record<string, number | boolean>>;
}

const sizes: readonly Size[] = [
  {
    name: "smollm2_135m",
    batch: 16,
    seqLen: 2048,
    dtype: "float32",
    peers: ["plain", "compile"],
    bar: 1.15,
    config: {
      vocab_size: 49152,
      hidden_size: 576,
      intermediate_size: 1536,
      num_hidden_layers: 30,
      num_attention_heads: 9,
      num_key_value_heads: 3,
      tie_word_embeddings: true,
    },
  },
  {
    name: "llama3_1b",
    batch: 8,
    seqLen: 2048,
    dtype: "float32",
    peers: ["liger", "compile", "plain"],
    bar: 1.15,
    config: {
      vocab_size: 128256,
      hidden_size: 2048,
      intermediate_size: 8192,
      num_hidden_layers: 16,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      tie_word_embeddings: true,
    },
  },
  {
    name: "llama3_8b",
    batch: 2,
    seqLen: 4096,
    dtype: "bfloat16",
    peers: ["liger"],
    bar: 1.1,
    config: {
      vocab_size: 128256,
      hidden_size: 4096,
      intermediate_size: 14336,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      tie_word_embeddings: false,
    },
  },
];

/** Of memory: the leanest peer's, times this. */
const memoryBar = 0.75;

interface Run {
  readonly step_ms: readonly number[];
  readonly peak_mb: number;
}

const root = resolve(import.meta.dirname, "..");
const steps = quick ? 4 : 10;

if (process.argv[2] === "run") await train(process.argv[3]!, process.argv[4]!, JSON.parse(process.argv[5]!));
else compare();

function compare(): void {
  const { values } = parseArgs({
    options: {
      size: { type: "string" },
      own: { type: "string", default: "selective" },
      peers: { type: "string" },
      quick: { type: "boolean" },
      bars: { type: "boolean" },
    },
  });
  const chosen = values.size?.split(",") ?? (quick ? ["smollm2_135m"] : sizes.map(({ name }) => name));
  const work = mkdtempSync(join(tmpdir(), "torchforge-cuda-"));
  const figures: Record<string, number> = {};
  const bars: Bar[] = [];
  try {
    for (const size of sizes.filter(({ name }) => chosen.includes(name))) {
      const folder = join(work, size.name);
      makeModel(folder, size);
      const measure = (contender: string, run: () => Run): { rate: number; peak: number } | undefined => {
        try {
          const { step_ms: times, peak_mb: peak } = run();
          const rate = ((size.batch * size.seqLen) / median(times)) * 1000;
          const line = { step_ms: round(median(times)), tokens_per_s: round(rate), peak_mb: round(peak) };
          console.log(JSON.stringify({ bench: "cuda", size: size.name, contender, ...line }));
          const key = `${size.name}_${contender.replaceAll(/\W+/g, "_")}`;
          figures[`${key}_tokens_per_s`] = rate;
          figures[`${key}_peak_mb`] = peak;
          return { rate, peak };
        } catch (error) {
          // Out of memory, or a peer that isn't installed: the others still count.
          console.log(JSON.stringify({ bench: "cuda", size: size.name, contender, error: String(error) }));
          return undefined;
        }
      };
      const own = values.own
        .split(",")
        .map((mode) => measure(`torchforge ${mode}`, () => runOwn(folder, mode, size)))
        .filter((one) => one !== undefined);
      const request = (peer: string) => JSON.stringify({ ...size, folder, steps, peer });
      const peers = (values.peers?.split(",") ?? size.peers)
        .map((peer) =>
          measure(
            `transformers ${peer}`,
            () => runPython([join(import.meta.dirname, "cuda.py"), request(peer)]) as Run,
          ),
        )
        .filter((one) => one !== undefined);
      if (own.length === 0 || peers.length === 0) continue;
      const best = Math.max(...own.map(({ rate }) => rate)) / Math.max(...peers.map(({ rate }) => rate));
      const least = Math.min(...own.map(({ peak }) => peak)) / Math.min(...peers.map(({ peak }) => peak));
      bars.push(
        { name: `${size.name}: tokens/s of the best peer's`, value: best, op: ">=", limit: size.bar },
        { name: `${size.name}: memory of the leanest peer's`, value: least, op: "<=", limit: memoryBar },
      );
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  report("cuda", figures, bars);
}

function runOwn(folder: string, mode: string, size: Size): Run {
  const child = spawnSync(
    process.execPath,
    [import.meta.filename, "run", folder, mode, JSON.stringify(size)],
    {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  if (child.status !== 0) throw new Error(`the run ended with ${child.status}`);
  return JSON.parse(child.stdout.trim().split("\n").at(-1)!) as Run;
}

function makeModel(folder: string, { config, seqLen }: Size): void {
  mkdirSync(folder, { recursive: true });
  const fixture = gunzipSync(readFileSync(join(root, "test", "fixtures", "data", "smollm2.json.gz")));
  const { tokenizer, config: tokenizerConfig } = JSON.parse(fixture.toString()) as Record<string, object>;
  const write = (name: string, value: object): void =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  write("tokenizer.json", tokenizer!);
  write("tokenizer_config.json", {
    ...tokenizerConfig,
    chat_template: "{% for m in messages %}{{ m.content }}{% endfor %}",
  });
  write("config.json", {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    max_position_embeddings: seqLen,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    ...config,
  });
}

async function train(folder: string, mode: string, { batch, seqLen, dtype }: Size): Promise<void> {
  const { Config } = await import("../src/config/index.ts");
  const { memoryStats, resetPeakMemory } = await import("../src/torch/index.ts");
  const { Trainer } = await import("../src/train/index.ts");
  const trainer = await Trainer.create(
    Config.create({
      job: { dump_folder: join(folder, "outputs") },
      model: { hf_assets_path: folder },
      processes: { procs: 1, with_gpus: true },
      training: {
        dataset: join(root, "data", "alpaca-python.jsonl"),
        train_on: "all",
        seq_len: seqLen,
        local_batch_size: batch,
        dtype,
      },
      activation_checkpoint: { mode: mode as "none" | "selective" | "full" },
      checkpoint: { enable: false, initial_load_in_hf: false },
    }),
  );
  const times: number[] = [];
  trainer.measure();
  trainer.measure();
  resetPeakMemory("cuda");
  let peak = 0;
  for (let i = 0; i < steps; i++) {
    times.push(trainer.measure().stepSeconds * 1000);
    peak = Math.max(peak, memoryStats("cuda").peakBytes);
  }
  await trainer.close();
  console.log(JSON.stringify({ step_ms: times, peak_mb: peak / 2 ** 20 }));
  process.exit();
}
