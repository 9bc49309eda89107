// The gate of a refactor: short training runs on tiny models, recorded from one checkout and compared bit for bit with those of
// another. It knows the product only by its command line, metrics.jsonl and the tensors of checkpoints, and imports nothing
// from src/. A record is of one machine: another processor or libtorch adds up in another order.
//   node scripts/parity.ts record FILE [--root DIR] [--only PATTERN]   writes FILE, and the tensors into FILE.tensors/
//   node scripts/parity.ts check FILE [--root DIR] [--only PATTERN]    runs the same in DIR (default: this checkout), compares
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";

interface Run {
  readonly model: keyof typeof models;
  readonly procs?: number;
  /** Overrides of each start under the same name: from the second on, the run resumes. */
  readonly starts: readonly (readonly string[])[];
}

interface Tensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** What is compared. Numbers are the hexadecimal digits of a float64. */
interface Result {
  /** By "step 1 loss" and the like, in the order in which they were written. */
  readonly numbers: Record<string, string>;
  /** By "step-3 NAME": dtype, shape and sha256. */
  readonly tensors: Record<string, string>;
}

interface Recording {
  readonly machine: string;
  readonly runs: Record<string, Result>;
}

// ---- What runs

/** What of config.json decides which weights there are. */
interface ModelJson {
  readonly model_type: string;
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly tie_word_embeddings: boolean;
  readonly head_dim?: number;
  readonly attention_bias?: boolean;
  readonly mlp_bias?: boolean;
  readonly num_local_experts?: number;
  readonly num_experts?: number;
  readonly moe_intermediate_size?: number;
  readonly mlp_only_layers?: readonly number[];
  readonly decoder_sparse_step?: number;
  readonly [other: string]: unknown;
}

const shape = {
  vocab_size: 1504,
  hidden_size: 32,
  intermediate_size: 52,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  hidden_act: "silu",
  eos_token_id: 1502,
  tie_word_embeddings: false,
};
const qwen3Moe = {
  ...shape,
  model_type: "qwen3_moe",
  head_dim: 16,
  num_experts: 4,
  num_experts_per_tok: 2,
  moe_intermediate_size: 20,
  mlp_only_layers: [1],
  norm_topk_prob: true,
  output_router_logits: true,
  router_aux_loss_coef: 0.05,
};
/** config.json of each model. */
const models = {
  llama: {
    ...shape,
    model_type: "llama",
    tie_word_embeddings: true,
    rope_scaling: {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    },
  },
  llamaBias: {
    ...shape,
    model_type: "llama",
    attention_bias: true,
    mlp_bias: true,
    rope_scaling: { rope_type: "linear", factor: 2 },
  },
  mistral: { ...shape, model_type: "mistral", sliding_window: 9 },
  mixtral: { ...shape, model_type: "mixtral", num_local_experts: 4, num_experts_per_tok: 2 },
  qwen2: {
    ...shape,
    model_type: "qwen2",
    tie_word_embeddings: true,
    use_sliding_window: true,
    sliding_window: 9,
    max_window_layers: 2,
  },
  qwen3: { ...shape, model_type: "qwen3", head_dim: 16 },
  qwen3Moe,
  qwen3MoeSparse: { ...qwen3Moe, mlp_only_layers: [], decoder_sparse_step: 2, norm_topk_prob: false },
} satisfies Record<string, ModelJson>;

const degree = (axis: string) => (size: number) => `parallelism.${axis}_degree=${size}`;
const shard = degree("data_parallel_shard");
const replicate = degree("data_parallel_replicate");
const tensor = degree("tensor_parallel");
const pipeline = degree("pipeline_parallel");
const context = degree("context_parallel");
const expert = degree("expert_parallel");
const expertTensor = degree("expert_tensor_parallel");
const reshard = (when: string): string => `parallelism.fsdp_reshard_after_forward=${when}`;
const schedule = (name: string): string => `parallelism.pipeline_parallel_schedule=${name}`;
const rotate = (method: string): string => `parallelism.context_parallel_rotate_method=${method}`;
const checkpointing = (mode: string): string => `activation_checkpoint.mode=${mode}`;
const accumulate = (size: number): string => `training.global_batch_size=${size}`;
const steps = (count: number): string => `training.steps=${count}`;
const saveEach = (count: number): string => `checkpoint.interval=${count}`;
const everyTwo = ["activation_checkpoint.mode=selective", "activation_checkpoint.selective_ac_option=2"];
const mixed = "training.mixed_precision_param=bfloat16";
const one = "training.local_batch_size=1";
const padded = ["training.packed=false", one];
const fromRandom = "checkpoint.initial_load_in_hf=false";
const exported = ["checkpoint.last_save_model_only=true", "checkpoint.last_save_in_hf=true"];

const run = (model: keyof typeof models, procs: number, ...overrides: string[]): Run => ({
  model,
  procs,
  starts: [overrides],
});

const runs: Record<string, Run> = {
  // Families, precisions, activation checkpointing (selective op is the default).
  llama: run("llama", 1, checkpointing("none")),
  llama_mixed_none: run("llama", 1, mixed, checkpointing("none")),
  llama_mixed_full: run("llama", 1, mixed, checkpointing("full"), accumulate(6)),
  llama_bias_bfloat16: run("llamaBias", 1, "training.dtype=bfloat16"),
  mistral: run("mistral", 1),
  mistral_every_two: run("mistral", 1, ...everyTwo),
  mixtral: run("mixtral", 1),
  mixtral_mixed_full: run("mixtral", 1, mixed, checkpointing("full")),
  qwen2_mixed: run("qwen2", 1, mixed),
  qwen3_full: run("qwen3", 1, checkpointing("full")),
  qwen3_moe: run("qwen3Moe", 1, accumulate(4)),
  qwen3_moe_sparse_none: run("qwen3MoeSparse", 1, mixed, checkpointing("none")),
  // What goes around the model.
  accumulation_padded: run("llama", 1, ...padded, accumulate(3)),
  adam_foreach: run("qwen3", 1, "optimizer.name=Adam", "optimizer.implementation=foreach"),
  adamw_for_loop: run("llamaBias", 1, "optimizer.implementation=for-loop", "training.train_on=all"),
  random_weights: run("qwen3Moe", 1, fromRandom),
  evaluation: run("qwen2", 1, "eval.eval_every_n_steps=1", mixed),
  async_save: run("llama", 1, saveEach(1), "checkpoint.async_mode=async"),
  resume: {
    model: "qwen3Moe",
    starts: [[steps(2)], [steps(4)]],
  },
  export_bfloat16: run("qwen3Moe", 1, ...exported, "checkpoint.export_dtype=bfloat16"),
  // Data parallelism.
  fsdp: run("mistral", 2, shard(2), mixed, "training.mixed_precision_reduce=bfloat16"),
  fsdp_3_never: run("llama", 3, shard(3), reshard("never"), one, accumulate(6)),
  fsdp_always: run("qwen3Moe", 2, shard(2), reshard("always"), fromRandom, checkpointing("none")),
  fsdp_async_save: run("qwen2", 2, shard(2), saveEach(1), "checkpoint.async_mode=async"),
  replicate: run("qwen2", 2, replicate(2), mixed),
  hsdp: run("llamaBias", 4, replicate(2), shard(2), mixed, accumulate(16)),
  // Tensor, pipeline, context, experts.
  tensor: run("llama", 2, tensor(2)),
  tensor_no_loss_parallel: run("mixtral", 2, tensor(2), mixed, "parallelism.disable_loss_parallel=true"),
  tensor_full: run("llamaBias", 2, tensor(2), checkpointing("full")),
  pipeline_1f1b: run("llama", 2, pipeline(2), one, accumulate(4)),
  pipeline_gpipe: run("qwen3Moe", 2, pipeline(2), schedule("GPipe"), "training.local_batch_size=4"),
  pipeline_interleaved: run("qwen2", 2, pipeline(2), schedule("Interleaved1F1B"), one, accumulate(4), mixed),
  pipeline_zbv: run("llamaBias", 2, pipeline(2), schedule("ZBVZeroBubble"), one, accumulate(4)),
  pipeline_zbv_full: run(
    "mixtral",
    2,
    pipeline(2),
    schedule("ZBVZeroBubble"),
    one,
    accumulate(4),
    mixed,
    checkpointing("full"),
  ),
  context_allgather: run("mistral", 2, context(2)),
  context_alltoall: run("qwen3", 2, context(2), rotate("alltoall"), mixed),
  experts: run("qwen3Moe", 2, expert(2)),
  experts_mixed_full: run("mixtral", 2, expert(2), mixed, checkpointing("full"), accumulate(8)),
  experts_whole_on_tensor: run("qwen3Moe", 4, tensor(2), expert(2), expertTensor(1)),
  experts_split_on_tensor: run("mixtral", 4, tensor(2), expert(2), expertTensor(2), mixed),
  // Several at once.
  tensor_pipeline: run("qwen3Moe", 4, tensor(2), pipeline(2), one, accumulate(4), fromRandom),
  fsdp_tensor_export: run("llama", 4, shard(2), tensor(2), mixed, ...exported),
  fsdp_tensor: run("qwen3", 4, shard(2), tensor(2), ...everyTwo),
  resume_fsdp_as_tensor: {
    model: "qwen3Moe",
    procs: 2,
    starts: [
      [shard(2), steps(2)],
      [tensor(2), steps(3)],
      [pipeline(2), one, accumulate(2), steps(4)],
    ],
  },
};

// ---- Where it runs

/** Uniform numbers in [0, 1): mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Names and shapes of a model's weights, as Hugging Face has them. */
function weightShapes(config: ModelJson): Map<string, number[]> {
  const { hidden_size: d, vocab_size: v, model_type: family } = config;
  const headDim = config.head_dim ?? d / config.num_attention_heads;
  const [q, kv] = [config.num_attention_heads * headDim, config.num_key_value_heads * headDim];
  const shapes = new Map<string, number[]>();
  const linear = (name: string, out: number, into: number, bias = false): void => {
    shapes.set(`${name}.weight`, [out, into]);
    if (bias) shapes.set(`${name}.bias`, [out]);
  };
  const feedForward = (name: string, size: number, [gate, up, down]: [string, string, string]): void => {
    for (const one of [gate, up]) linear(`${name}.${one}`, size, d, config.mlp_bias);
    linear(`${name}.${down}`, d, size, config.mlp_bias);
  };
  const projections: [string, string, string] = ["gate_proj", "up_proj", "down_proj"];
  linear("model.embed_tokens", v, d);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `model.layers.${i}`;
    const qkvBias = family === "qwen2" || config.attention_bias;
    for (const norm of ["input_layernorm", "post_attention_layernorm"])
      shapes.set(`${layer}.${norm}.weight`, [d]);
    linear(`${layer}.self_attn.q_proj`, q, d, qkvBias);
    for (const name of ["k_proj", "v_proj"]) linear(`${layer}.self_attn.${name}`, kv, d, qkvBias);
    linear(`${layer}.self_attn.o_proj`, d, q, config.attention_bias);
    if (family.startsWith("qwen3"))
      for (const norm of ["q_norm", "k_norm"]) shapes.set(`${layer}.self_attn.${norm}.weight`, [headDim]);
    const isSparse =
      !config.mlp_only_layers?.includes(i) && (i + 1) % (config.decoder_sparse_step ?? 1) === 0;
    if (family === "mixtral") {
      linear(`${layer}.block_sparse_moe.gate`, config.num_local_experts!, d);
      for (let e = 0; e < config.num_local_experts!; e++)
        feedForward(`${layer}.block_sparse_moe.experts.${e}`, config.intermediate_size, ["w1", "w3", "w2"]);
    } else if (family === "qwen3_moe" && isSparse) {
      linear(`${layer}.mlp.gate`, config.num_experts!, d);
      for (let e = 0; e < config.num_experts!; e++)
        feedForward(`${layer}.mlp.experts.${e}`, config.moe_intermediate_size!, projections);
    } else feedForward(`${layer}.mlp`, config.intermediate_size, projections);
  }
  shapes.set("model.norm.weight", [d]);
  if (!config.tie_word_embeddings) linear("lm_head", v, d);
  return shapes;
}

function makeModel(folder: string, config: ModelJson): void {
  mkdirSync(folder);
  const fixture = join(import.meta.dirname, "..", "test", "fixtures", "data", "qwen-style.json.gz");
  const { tokenizer, config: special } = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as Record<
    string,
    object
  >;
  const chat_template =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  for (const [name, value] of Object.entries({
    tokenizer,
    tokenizer_config: { ...special, chat_template },
    config,
  }))
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(value));
  const random = randomOf(7);
  const weights = [...weightShapes(config)].map(([name, shape]): [string, Tensor] => {
    const isNorm = name.includes("norm");
    const size = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length: size }, () => (random() - 0.5) * 0.3 + (isNorm ? 1 : 0));
    return [name, { dtype: "F32", shape, bytes: new Uint8Array(values.buffer) }];
  });
  writeTensors(join(folder, "model.safetensors"), new Map(weights));
}

/** Rows of a few to too many words. The note makes them new to a cache of tokenized rows: tokenizing is compared, too. */
function makeRows(path: string, count: number, seed: number): void {
  const random = randomOf(seed);
  const vocabulary =
    "the a model learns reads Python function list of numbers and, returns 42 é why? not: x = y".split(" ");
  const words = (most: number): string =>
    Array.from(
      { length: 1 + Math.floor(random() * most) },
      () => vocabulary[Math.floor(random() * vocabulary.length)],
    ).join(" ");
  const rows = Array.from({ length: count }, (_, i) => {
    const turns = i % 4 === 0 ? 2 : 1;
    const messages = Array.from({ length: turns }, () => [
      { role: "user", content: words(8) },
      { role: "assistant", content: words(i % 7 === 0 ? 60 : 16) },
    ]);
    return { messages: messages.flat(), note: path };
  });
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
}

// ---- Files of tensors

function writeTensors(path: string, tensors: ReadonlyMap<string, Tensor>): void {
  let at = 0;
  const header = [...tensors].map(([name, { dtype, shape, bytes }]) => [
    name,
    { dtype, shape, data_offsets: [at, (at += bytes.length)] },
  ]);
  const json = JSON.stringify(Object.fromEntries(header));
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, ...[...tensors.values()].map(({ bytes }) => bytes)]));
}

interface Part extends Tensor {
  /** Where it begins in the whole tensor. */
  readonly offsets: readonly number[];
}

function readParts(path: string): Map<string, Part> {
  const file = readFileSync(path);
  const begin = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__: metadata, ...header } = JSON.parse(file.subarray(8, begin).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  > & { __metadata__?: Record<string, string> };
  const places = JSON.parse(metadata?.["DCP_SHARDING_INFO"] ?? "{}") as Record<
    string,
    { saved_offsets: number[] }
  >;
  return new Map(
    Object.entries(header).map(([name, { dtype, shape, data_offsets: range }]) => {
      const offsets = places[name]?.saved_offsets ?? shape.map(() => 0);
      return [name, { dtype, shape, bytes: file.subarray(begin + range[0], begin + range[1]), offsets }];
    }),
  );
}

/** All tensors of a folder, joined from the parts in its files. */
function readTensors(folder: string): Map<string, Tensor> {
  const parts = new Map<string, Part[]>();
  for (const file of globSync("*.safetensors", { cwd: folder }).sort())
    for (const [name, part] of readParts(join(folder, file)))
      parts.set(name, [...(parts.get(name) ?? []), part]);
  return new Map(
    [...parts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, some]) => [name, joinParts(name, some)]),
  );
}

/** Parts are bands of rows, and of columns. */
function joinParts(name: string, parts: readonly Part[]): Tensor {
  const { dtype, shape: first } = parts[0]!;
  const shape = first.map((_, dim) =>
    Math.max(...parts.map((part) => part.offsets[dim]! + part.shape[dim]!)),
  );
  const count = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
  const itemSize = parts[0]!.bytes.length / count(first);
  const bytes = new Uint8Array(count(shape) * itemSize);
  let filled = 0;
  for (const part of parts) {
    const [row = 0, column = 0] = part.offsets;
    const rows = part.shape[0] ?? 1;
    const width = part.bytes.length / rows;
    const [whole, left] = [bytes.length / (shape[0] ?? 1), column * count(shape.slice(2)) * itemSize];
    for (let i = 0; i < rows; i++)
      bytes.set(part.bytes.subarray(i * width, (i + 1) * width), (row + i) * whole + left);
    filled += part.bytes.length;
  }
  if (filled !== bytes.length) throw new Error(`${name}: its parts have ${filled} bytes of ${bytes.length}`);
  return { dtype, shape, bytes };
}

function valuesOf({ dtype, bytes }: Tensor): ArrayLike<number> {
  const { buffer } = new Uint8Array(bytes);
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "I64") return Array.from(new BigInt64Array(buffer), Number);
  if (dtype === "BF16")
    return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer);
  throw new Error(`values of dtype ${dtype}`);
}

// ---- Runs and their results

const toHex = (value: number): string => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes.toString("hex");
};
const fromHex = (hex: string): number => Buffer.from(hex, "hex").readDoubleBE();

function forge(root: string, args: readonly string[]): Promise<void> {
  const { FORCE_COLOR: _, ...env } = process.env;
  const child = spawn(process.execPath, [join(root, "bin", "torchforge.js"), ...args], {
    cwd: root,
    env: { ...env, OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1", NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) return resolve();
      const end = said.trim().split("\n").slice(-10).join("\n");
      reject(new Error(`ended with ${code ?? signal}: torchforge ${args.join(" ")}\n${end}`));
    });
  });
}

interface Outcome extends Result {
  readonly values: ReadonlyMap<string, Tensor>;
}

async function perform(
  root: string,
  folder: string,
  name: string,
  { model, procs = 1, starts }: Run,
): Promise<Outcome> {
  for (const overrides of starts)
    await forge(root, [
      "sft",
      `job.dump_folder=${join(folder, "outputs")}`,
      `job.name=${name}`,
      `model.hf_assets_path=${join(folder, model)}`,
      `processes.procs=${procs}`,
      "optimizer.lr=1e-3",
      "lr_scheduler.warmup_steps=1",
      "training.local_batch_size=2",
      "training.seq_len=64",
      "training.steps=3",
      "training.seed=3",
      `training.dataset=${join(folder, "rows.jsonl")}`,
      `eval.datasets=[{path: ${join(folder, "held-out-1.jsonl")}}, {path: ${join(folder, "held-out-2.jsonl")}}]`,
      "checkpoint.last_save_in_hf=false",
      "checkpoint.last_save_model_only=false",
      "metric_logging.tensorboard.enable=false",
      ...overrides,
    ]);
  const output = join(folder, "outputs", name);
  const numbers: Record<string, string> = {};
  for (const line of readFileSync(join(output, "metrics.jsonl"), "utf8").trim().split("\n")) {
    const record = JSON.parse(line) as Record<string, number> & { dataset?: string };
    const where = `step ${record["step"]} ${basename(record.dataset ?? "")}`.trim();
    for (const key of ["loss", "grad_norm", "learning_rate", "eval_loss", "num_tokens"])
      if (record[key] !== undefined) numbers[`${where} ${key}`] = toHex(Number(record[key]));
  }
  const values = new Map<string, Tensor>();
  for (const step of globSync("step-*", { cwd: join(output, "checkpoint") }).sort())
    for (const [tensor, value] of readTensors(join(output, "checkpoint", step)))
      values.set(`${step} ${tensor}`, value);
  rmSync(output, { recursive: true });
  const tensors = [...values].map(([key, { dtype, shape, bytes }]) => {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    return [key, `${dtype} [${shape.join(", ")}] ${sha256}`] as const;
  });
  return { numbers, tensors: Object.fromEntries(tensors), values };
}

/** What differs, a line each. `recorded`: the file with the values of the recorded tensors. */
function differences(found: Outcome, expected: Result, recorded: string): string[] {
  const lines: string[] = [];
  for (const key of new Set([...Object.keys(expected.numbers), ...Object.keys(found.numbers)])) {
    const [was, is] = [expected.numbers[key], found.numbers[key]];
    if (was === is) continue;
    const [a, b] = [was, is].map((hex) => (hex === undefined ? "none" : `${fromHex(hex)} (${hex})`));
    lines.push(`${key}: recorded ${a}, found ${b}`);
  }
  let values: ReadonlyMap<string, Tensor> | undefined;
  for (const key of new Set([...Object.keys(expected.tensors), ...Object.keys(found.tensors)])) {
    const [was = "none", is = "none"] = [expected.tensors[key], found.tensors[key]];
    if (was === is) continue;
    const isOfOneForm = was.slice(0, -64) === is.slice(0, -64);
    if (!isOfOneForm || was === "none" || !existsSync(recorded)) {
      lines.push(`${key}: recorded ${was}, found ${is}`);
      continue;
    }
    values ??= readParts(recorded);
    lines.push(`${key}: ${furthest(valuesOf(values.get(key)!), valuesOf(found.values.get(key)!))}`);
  }
  return lines;
}

function furthest(was: ArrayLike<number>, is: ArrayLike<number>): string {
  let [at, differing] = [0, 0];
  const distance = (i: number): number => Math.abs(was[i]! - is[i]!);
  for (let i = 0; i < was.length; i++) {
    if (!Object.is(was[i], is[i])) differing++;
    if (distance(i) > distance(at)) at = i;
  }
  return `${differing} of ${was.length} elements differ, most [${at}]: recorded ${was[at]}, found ${is[at]}, by ${distance(at).toExponential(2)}`;
}

// ---- The command

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    root: { type: "string", default: join(import.meta.dirname, "..") },
    only: { type: "string", default: "" },
    jobs: { type: "string", default: "2" },
  },
});
const [command, file] = positionals;
if ((command !== "record" && command !== "check") || file === undefined || positionals.length > 2) {
  console.error("usage: parity.ts record|check FILE [--root DIR] [--only PATTERN] [--jobs RUNS]");
  process.exit(2);
}
const root = resolve(options.root);
const valuesIn = (name: string): string => join(`${file}.tensors`, `${name}.safetensors`);
const machine = cpus()[0]!.model;
const recording =
  command === "check" ? (JSON.parse(readFileSync(file, "utf8")) as Recording) : { machine, runs: {} };
if (recording.machine !== machine)
  console.log(
    `note: recorded on ${recording.machine}; this is ${machine}, which may add up in another order`,
  );

const folder = mkdtempSync(join(tmpdir(), "parity-"));
for (const [name, config] of Object.entries(models)) makeModel(join(folder, name), config);
makeRows(join(folder, "rows.jsonl"), 90, 1);
makeRows(join(folder, "held-out-1.jsonl"), 5, 2);
makeRows(join(folder, "held-out-2.jsonl"), 9, 3);
if (command === "record") mkdirSync(`${file}.tensors`, { recursive: true });
await forge(root, ["setup", "--quiet"]);

const chosen = Object.keys(runs).filter((name) => new RegExp(options.only).test(name));
const results = new Map<string, Result>();
const failed: string[] = [];

/** What is wrong, line by line; nothing where all is well. */
async function report(name: string): Promise<string[]> {
  const found = await perform(root, folder, name, runs[name]!).catch((error: unknown) => error as Error);
  if (found instanceof Error) return found.message.split("\n");
  const { values, ...result } = found;
  if (command === "record") {
    results.set(name, result);
    writeTensors(valuesIn(name), values);
    return [];
  }
  const expected = recording.runs[name];
  return expected === undefined ? [`not in ${file}`] : differences(found, expected, valuesIn(name));
}

const waiting = [...chosen];
async function work(): Promise<void> {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const begin = performance.now();
    const lines = await report(name);
    if (lines.length > 0) failed.push(name);
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    const word = lines.length > 0 ? "DIFFERS" : command === "record" ? "recorded" : "equal";
    console.log(
      `${word.padEnd(9)}${name.padEnd(26)}${runs[name]!.procs ?? 1} ranks ${seconds.padStart(6)} s`,
    );
    for (const line of lines.slice(0, 12)) console.log(`    ${line}`);
    if (lines.length > 12) console.log(`    and ${lines.length - 12} more`);
  }
}
await Promise.all(Array.from({ length: Number(options.jobs) }, work));

rmSync(folder, { recursive: true });
if (failed.length > 0) {
  console.log(`${failed.length} of ${chosen.length} runs differ or fail: ${failed.join(", ")}`);
  process.exit(1);
}
if (command === "record") {
  const inOrder = Object.fromEntries(chosen.map((name) => [name, results.get(name)!]));
  writeFileSync(file, `${JSON.stringify({ machine, runs: inOrder } satisfies Recording, null, 1)}\n`);
}
console.log(`${chosen.length} runs ${command === "record" ? `recorded in ${file}` : "equal bit for bit"}`);
