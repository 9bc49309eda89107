// torchforge against what a user would pick instead: the scripts of shared/bench/peers and ours, in turn, on the same model,
// rows, sequence length and batch. PEERS_VENV (default /tmp/peers-venv) is the environment that their setup.sh made.
// The machine's speed drifts within minutes, so the fastest peers stand between two runs of ours, and a ratio is that of
// neighbours; a figure is the median of the rounds.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { workerArguments } from "../src/actors/controller/program-arguments.ts";
import { obtainSmolLM2 } from "../src/quickstart/index.ts";
import { cacheDir, UserError } from "../src/util/index.ts";
import { median, quick, report, type Bar } from "./harness.ts";

interface Line {
  real_tokens_per_s: number;
  tokens_per_s: number;
  mfu: number;
  machine_gflops: number;
  first_step_done_s: number;
  /** From the process's start until the first step begins, its batch in hand. */
  startup_s: number;
  peak_rss_mb: number;
  step_ms: number;
}

const peersFolder = resolve(import.meta.dirname, "../../shared/bench/peers");
const python = join(process.env["PEERS_VENV"] ?? "/tmp/peers-venv", "bin", "python");
for (const path of [peersFolder, python]) {
  if (!existsSync(path)) throw new UserError(`bench:peers needs ${path}: see shared/bench/peers/README.md`);
}
const rounds = Number(process.env["ROUNDS"] ?? (quick ? 1 : 2));
const { folder: model } = await obtainSmolLM2();
const data = join(peersFolder, "alpaca.jsonl");

function run(
  program: string,
  script: string,
  options: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  flags: readonly string[] = [],
): Line {
  const args = [...flags, script, "--model", model, "--data", data, "--threads", "2", ...options];
  const done = spawnSync(program, args, {
    encoding: "utf8",
    env,
    maxBuffer: 2 ** 28,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const line = done.stdout.split("\n").findLast((one) => one.startsWith('{"peer"'));
  if (done.status !== 0 || line === undefined)
    throw new Error(`${script} failed:\n${done.stderr.slice(-2000)}`);
  const parsed = JSON.parse(line) as Line;
  console.error(
    `${script.split("/").at(-1)} ${options.join(" ")}: ${parsed.real_tokens_per_s.toFixed(1)} tokens/s, mfu ${parsed.mfu}, ${parsed.peak_rss_mb.toFixed(0)} MiB, first step ${parsed.startup_s.toFixed(1)} s`,
  );
  return parsed;
}
/** In one process, with the arguments of a worker of `forge sft`. Each run of ours is a first one: no token was kept. Compiled code is, as by the CLI (and by Python). */
function ours(options: readonly string[]): Line {
  const cache = mkdtempSync(join(tmpdir(), "torchforge-first-run-"));
  mkdirSync(join(cacheDir(), "compiled"), { recursive: true });
  for (const name of readdirSync(cacheDir())) {
    if (name !== "tokens") symlinkSync(join(cacheDir(), name), join(cache, name));
  }
  try {
    const env = {
      ...process.env,
      TORCHFORGE_CACHE: cache,
      NODE_COMPILE_CACHE: join(cache, "compiled"),
    };
    return run(
      process.execPath,
      join(import.meta.dirname, "torchforge-sft.ts"),
      options,
      env,
      workerArguments,
    );
  } finally {
    rmSync(cache, { recursive: true });
  }
}
const peer = (script: string, options: readonly string[]) => run(python, join(peersFolder, script), options);

const steps = quick ? "4" : "6";
const at512 = ["--seq-len", "512", "--batch", "2", "--steps", steps];
const at2048 = ["--seq-len", "2048", "--batch", "1", "--steps", "4"];
const only = process.env["SECTIONS"]?.split(",");
const wants = (section: string) => only === undefined || only.includes(section);

const figures: Record<string, number> = {};
const bars: Bar[] = [];
const collected = new Map<string, Line[]>();
const note = (name: string, line: Line) => collected.set(name, [...(collected.get(name) ?? []), line]);
const best = (
  names: readonly string[],
  pick: (line: Line) => number,
  of: (...values: number[]) => number,
  round: number,
) => of(...names.map((name) => pick(collected.get(name)![round]!)));
const bar = (name: string, op: Bar["op"], limit: number, values: readonly number[]) =>
  bars.push({ name, op, limit, value: median(values) });
const each = (pick: (round: number) => number) => Array.from({ length: rounds }, (_, i) => pick(i));
const line = (name: string, round: number) => collected.get(name)![round]!;

if (wants("512")) {
  const names = ["plain", "plain_compile", "torchtune", "torchtitan", "trl"];
  const ratios: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const before = ours(at512);
    const plain = peer("plain.py", at512);
    const full = ours([...at512, "--full"]);
    const between = ours(at512);
    const compiled = peer("plain.py", [...at512, "--compile"]);
    const after = ours(at512);
    const torchtune = peer("torchtune_sft.py", at512);
    const torchtitan = peer("torchtitan_sft.py", at512);
    const trl = peer("trl_sft.py", at512);
    for (const one of [before, between, after]) note("torchforge", one);
    note("torchforge_full", full);
    for (const [j, one] of [plain, compiled, torchtune, torchtitan, trl].entries()) note(names[j]!, one);
    const rate = (...lines: readonly Line[]) =>
      lines.reduce((sum, one) => sum + one.real_tokens_per_s, 0) / lines.length;
    ratios.push(
      Math.min(
        rate(before, between) / rate(plain),
        rate(between, after) / rate(compiled),
        rate(after) / rate(torchtune),
        rate(after) / rate(torchtitan),
        rate(after) / rate(trl),
      ),
    );
  }
  bar("real tokens/s, all trained, to the best peer", ">=", 1.5, ratios);
  bar(
    "tokens/s on full rows, to plain PyTorch",
    ">=",
    1.15,
    each((i) => line("torchforge_full", i).tokens_per_s / line("plain", i).tokens_per_s),
  );
  bar(
    "part of the GEMM rate on full rows",
    ">=",
    0.75,
    each((i) => line("torchforge_full", i).mfu),
  );
  bar(
    "peak memory at 512, to the best peer",
    "<=",
    0.75,
    each((i) => line("torchforge", 3 * i).peak_rss_mb / best(names, (l) => l.peak_rss_mb, Math.min, i)),
  );
  bar(
    "seconds to the first step of a first run, to the best peer",
    "<=",
    0.5,
    each((i) => line("torchforge", 3 * i + 1).startup_s / best(names, (l) => l.startup_s, Math.min, i)),
  );
}
if (wants("completion")) {
  const options = [...at512, "--completion-only"];
  const names = ["plain_completion", "torchtune_completion", "trl_completion"];
  for (let i = 0; i < rounds; i++) {
    note("torchforge_completion", ours(options));
    note("plain_completion", peer("plain.py", options));
    note("torchtune_completion", peer("torchtune_sft.py", options));
    note("trl_completion", peer("trl_sft.py", options));
  }
  bar(
    "real tokens/s, completions trained, to the best peer",
    ">=",
    1.6,
    each(
      (i) =>
        line("torchforge_completion", i).real_tokens_per_s /
        best(names, (l) => l.real_tokens_per_s, Math.max, i),
    ),
  );
}
if (wants("2048")) {
  for (let i = 0; i < rounds; i++) {
    note("torchforge_2048", ours(at2048));
    note("plain_2048", peer("plain.py", at2048));
    note("trl_2048", peer("trl_sft.py", at2048));
  }
  bar(
    "peak memory at 2048, to the best peer",
    "<=",
    0.6,
    each(
      (i) =>
        line("torchforge_2048", i).peak_rss_mb /
        best(["plain_2048", "trl_2048"], (l) => l.peak_rss_mb, Math.min, i),
    ),
  );
}
for (const [name, lines] of collected) {
  figures[`${name}_real_tokens_per_s`] = median(lines.map((l) => l.real_tokens_per_s));
  figures[`${name}_tokens_per_s`] = median(lines.map((l) => l.tokens_per_s));
  figures[`${name}_peak_rss_mb`] = median(lines.map((l) => l.peak_rss_mb));
  figures[`${name}_startup_s`] = median(lines.map((l) => l.startup_s));
  figures[`${name}_first_step_done_s`] = median(lines.map((l) => l.first_step_done_s));
  figures[`${name}_mfu_ratio`] = median(lines.map((l) => l.mfu));
  figures[`${name}_machine_gflops`] = median(lines.map((l) => l.machine_gflops));
}
report("peers", figures, bars);
