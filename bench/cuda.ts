// Training on one CUDA device: tokens/s and peak memory here and in a loop over Transformers' Llama (bench/cuda.py), on models
// of random weights and full rows, in bfloat16 with float32 weights and fused AdamW on both sides. Each size in a process of
// its own, ours between two runs of the peer's. No bars: there is no GPU in continuous integration.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";

import { median, quick, report, runPython } from "./harness.ts";

interface Size {
  readonly name: string;
  readonly batch: number;
  readonly seqLen: number;
  readonly config: Readonly<Record<string, number | boolean>>;
}

const sizes: readonly Size[] = [
  {
    name: "smollm2_135m",
    batch: 16,
    seqLen: 2048,
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
];

interface Run {
  readonly step_ms: readonly number[];
  readonly peak_mb: number;
}

const root = resolve(import.meta.dirname, "..");
const steps = quick ? 4 : 10;

if (process.argv[2] === "run") await train(process.argv[3]!, JSON.parse(process.argv[4]!) as Size);
else await compare();

async function compare(): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "torchforge-cuda-"));
  const figures: Record<string, number> = {};
  try {
    for (const size of sizes.filter(({ name }) => !quick || name === "smollm2_135m")) {
      const folder = join(work, size.name);
      makeModel(folder, size);
      const request = JSON.stringify({ ...size, folder, steps });
      const peer = () => runPython([join(import.meta.dirname, "cuda.py"), request]) as Run;
      const before = peer();
      const child = spawnSync(process.execPath, [import.meta.filename, "run", folder, JSON.stringify(size)], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "inherit"],
      });
      if (child.status !== 0) throw new Error(`the run of ${size.name} ended with ${child.status}`);
      const own = JSON.parse(child.stdout.trim().split("\n").at(-1)!) as Run;
      const after = peer();
      const tokens = size.batch * size.seqLen;
      const rate = (...runs: Run[]) => (tokens / median(runs.flatMap((one) => one.step_ms))) * 1000;
      figures[`${size.name}_tokens_per_s`] = rate(own);
      figures[`${size.name}_transformers_tokens_per_s`] = rate(before, after);
      figures[`${size.name}_peak_mb`] = own.peak_mb;
      figures[`${size.name}_transformers_peak_mb`] = before.peak_mb;
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  report("cuda", figures, []);
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

async function train(folder: string, { batch, seqLen }: Size): Promise<void> {
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
      },
      activation_checkpoint: { mode: process.env["BENCH_CHECKPOINTING"] === "none" ? "none" : "selective" },
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
