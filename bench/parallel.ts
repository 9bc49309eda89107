// Two processes of one thread each against one of two threads, for every kind of division, and against PyTorch's own FSDP2 and
// DistributedDataParallel (shared/bench/peers/plain.py under torchrun, in the environment of bench:peers). Same model, same
// sequence length, one sequence a process (four in a pipeline); torchforge's rows have no padding, so that a position costs
// what it costs the peer. `node bench/parallel.ts --only tp,pp` measures those alone, without peers and bars.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

import { obtainSmolLM2 } from "../src/quickstart/index.ts";
import { UserError } from "../src/util/index.ts";
import { evenHeadSizes, makeModelFolder } from "../test/parallel/memory-runs.ts";
import { median, quick, report, type Bar } from "./harness.ts";

interface Line {
  tokens_per_s: number;
  step_ms: number;
  peak_rss_mb: number;
  /** torchforge only. */
  waited_ms?: number;
  state_mb?: number;
  peak_tensors_mb?: number;
  save_ms?: number;
  /** PyTorch only, in several processes. */
  peak_rss_mb_each?: number[];
}

const peersFolder = resolve(import.meta.dirname, "../../shared/bench/peers");
const python = join(process.env["PEERS_VENV"] ?? "/tmp/peers-venv", "bin", "python");
const only = process.argv.includes("--only")
  ? process.argv[process.argv.indexOf("--only") + 1]?.split(",")
  : undefined;
for (const path of [peersFolder, python]) {
  if (only === undefined && !existsSync(path))
    throw new UserError(`bench:parallel needs ${path}: see shared/bench/peers/README.md`);
}
const rounds = Number(process.env["ROUNDS"] ?? (quick ? 1 : 3));
const steps = quick ? 3 : 5;
const model = process.env["BENCH_MODEL"] ?? (await obtainSmolLM2()).folder;
const data = join(peersFolder, "alpaca.jsonl");
const common = ["--data", data, "--seq-len", process.env["BENCH_SEQ_LEN"] ?? "512"];

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [out, err] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("error", fail);
    child.on("close", (code) => {
      if (code === 0) done(out);
      else fail(new Error(`${args.join(" ")} ended with ${code}:\n${err.slice(-2000)}`));
    });
  });
}

function lineOf(out: string, name: string): Line {
  const text = out.split("\n").findLast((one) => one.startsWith('{"peer"'));
  if (text === undefined) throw new Error(`${name} printed no line:\n${out.slice(-2000)}`);
  const line = JSON.parse(text) as Line;
  const peak = Math.max(line.peak_rss_mb, ...(line.peak_rss_mb_each ?? []));
  console.error(`${name}: ${line.tokens_per_s.toFixed(1)} tokens/s, ${peak.toFixed(0)} MiB a process`);
  return { ...line, peak_rss_mb: peak };
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}

/** How two processes divide the work; rows of a process and pass, so that a step has as many positions as one process's. */
const divisions: Readonly<
  Record<string, { batch: number; options: readonly string[]; evenHeads?: boolean }>
> = {
  fsdp: { batch: 1, options: [] },
  ddp: { batch: 1, options: ["--replicate", "2"] },
  tp: { batch: 2, options: ["--tensor", "2"], evenHeads: true },
  // A microbatch is a row: fewer than four would measure little but the bubble.
  pp: { batch: 4, options: ["--pipeline", "2"] },
  cp: { batch: 2, options: ["--context", "2"] },
};

async function ours(name: string, size: number, batch: number, options: readonly string[]): Promise<Line> {
  const script = join(import.meta.dirname, "torchforge-ranks.ts");
  const weights = options.includes("--random") ? evenHeads : model;
  const args = [
    script,
    "--model",
    weights,
    ...common,
    "--batch",
    String(batch),
    "--steps",
    String(steps),
    ...options,
  ];
  const port = String(await freePort());
  const outputs = await Promise.all(
    Array.from({ length: size }, (_, rank) =>
      run(process.execPath, args, {
        OMP_NUM_THREADS: size === 1 ? "2" : "1",
        ...(size > 1 && {
          RANK: String(rank),
          LOCAL_RANK: String(rank),
          WORLD_SIZE: String(size),
          MASTER_ADDR: "127.0.0.1",
          MASTER_PORT: port,
        }),
      }),
    ),
  );
  return lineOf(outputs[0]!, name);
}

async function peer(name: string, kind: "--fsdp" | "--ddp"): Promise<Line> {
  const launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"];
  const options = ["--threads", "1", "--batch", "1", "--steps", String(steps), kind];
  const out = await run(python, [
    ...launcher,
    join(peersFolder, "plain.py"),
    "--model",
    model,
    ...common,
    ...options,
  ]);
  return lineOf(out, name);
}

const lines = new Map<string, Line[]>();
const note = (name: string, line: Line) => lines.set(name, [...(lines.get(name) ?? []), line]);
// SmolLM2's 9 heads and 3 key and value heads can't be divided by two: tensor parallelism is measured on random weights of its
// sizes with 8 and 4 heads, against one process with the same.
const evenHeads = makeModelFolder(
  join(mkdtempSync(join(tmpdir(), "torchforge-parallel-")), "model"),
  evenHeadSizes,
);
const measured = Object.keys(divisions).filter((name) => only?.includes(name) ?? true);
for (let round = 0; round < rounds; round++) {
  note("one", await ours("one", 1, 2, ["--threads", "2"]));
  for (const name of measured) {
    const { batch, options, evenHeads: even = false } = divisions[name]!;
    if (even) note("one_even_heads", await ours("one_even_heads", 1, 2, ["--threads", "2", "--random"]));
    note(name, await ours(name, 2, batch, even ? [...options, "--random"] : options));
    if (only !== undefined) continue;
    if (name === "fsdp") note("torch_fsdp2", await peer("torch_fsdp2", "--fsdp"));
    if (name === "ddp") note("torch_ddp", await peer("torch_ddp", "--ddp"));
  }
  if (only !== undefined) continue;
  for (const mode of ["disabled", "async"])
    note(`fsdp_save_${mode}`, await ours(`fsdp, checkpoint.async_mode ${mode}`, 2, 1, ["--save", mode]));
}

const of = (name: string, pick: (line: Line) => number) => lines.get(name)!.map((line) => pick(line));
const ratio = (a: string, b: string, pick: (line: Line) => number) =>
  median(of(a, pick).map((value, round) => value / of(b, pick)[round]!));
const figures: Record<string, number> = {};
for (const [name, found] of lines) {
  figures[`${name}_tokens_per_s`] = median(found.map((line) => line.tokens_per_s));
  figures[`${name}_step_ms`] = median(found.map((line) => line.step_ms));
  figures[`${name}_peak_rss_mb`] = median(found.map((line) => line.peak_rss_mb));
  if (found[0]!.state_mb === undefined) continue;
  figures[`${name}_state_mb`] = median(found.map((line) => line.state_mb!));
  figures[`${name}_peak_tensors_mb`] = median(found.map((line) => line.peak_tensors_mb!));
  figures[`${name}_exposed_communication_ms`] = median(found.map((line) => line.waited_ms!));
}
for (const name of measured) {
  const base = divisions[name]!.evenHeads === true ? "one_even_heads" : "one";
  figures[`${name}_to_one_tokens_ratio`] = ratio(name, base, (line) => line.tokens_per_s);
}
rmSync(dirname(evenHeads), { recursive: true, force: true });
const bars = (): Bar[] => [
  {
    name: "FSDP's tokens/s, to PyTorch's FSDP2",
    op: ">=",
    limit: 1.2,
    value: ratio("fsdp", "torch_fsdp2", (line) => line.tokens_per_s),
  },
  {
    name: "FSDP's peak memory a rank, to PyTorch's FSDP2",
    op: "<=",
    limit: 0.8,
    value: ratio("fsdp", "torch_fsdp2", (line) => line.peak_rss_mb),
  },
  {
    name: "DDP's tokens/s, to PyTorch's DistributedDataParallel",
    op: ">=",
    limit: 1.1,
    value: ratio("ddp", "torch_ddp", (line) => line.tokens_per_s),
  },
  {
    name: "memory of sharded states on 2 ranks, to one process",
    op: "<=",
    limit: 0.55,
    value: ratio("fsdp", "one", (line) => line.state_mb!),
  },
  {
    name: "what an asynchronous save stalls a step, to a synchronous one",
    op: "<=",
    limit: 0.1,
    value: ratio("fsdp_save_async", "fsdp_save_disabled", (line) => line.save_ms!),
  },
];
report("parallel", figures, only === undefined ? bars() : []);
