// `forge simulate`: the recipe of a big run, whose traffic is what its shapes say, and runs that offload states, divide experts
// and cut sequences.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import type { SimulationReport } from "../../src/train/index.ts";
import { root } from "../programs.ts";
import { flavorJson } from "../../src/models/index.ts";
import { forge } from "./forge.ts";

const recipe = join(root, "recipes", "llama3_70b.yaml");
/** No network: the sizes are those of model.flavor. */
const offline = { env: { HF_HUB_OFFLINE: "1" }, timeoutMs: 300_000 };

test("70 billion parameters on 256 processes, in the recipe's division", async () => {
  const { code, stdout, stderr } = await forge(
    ["simulate", "--config", recipe, "--procs", "256", "--json"],
    offline,
  );
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^note: no config\.json of hf:\/\/meta-llama.*sizes are those of llama3 70B$/m);
  const { ranks, bubble, worldSize, mesh } = JSON.parse(stdout) as SimulationReport;
  assert.equal(worldSize, 256);
  assert.deepEqual([mesh["pipeline"], mesh["shard"], mesh["tensor"]], [4, 8, 8]);
  assert.deepEqual(
    ranks.map(({ rank }) => rank),
    [0, 64, 128, 192],
  );
  assert.ok(bubble > 0.2 && bubble < 0.3, String(bubble));
  const [, inner] = ranks;
  // 20 layers of stage 1: on each of tp x dp_shard = 64 ranks weights and two moments in float32, with norms whole on each.
  const [d, q, kv, i] = [8192, 8192, 1024, 28672];
  const matrices = 20 * (2 * d * q + 2 * d * kv + 3 * d * i);
  const states = (3 * 4 * (matrices / 8 + 20 * 2 * d)) / 8;
  assert.ok(Math.abs(inner!.stateBytes / states - 1) < 0.01, `${inner!.stateBytes} and ${states}`);
  const traffic = (axis: string, kind: string) =>
    inner!.traffic.find((one) => one.axis === axis && one.kind === kind)!;
  // Forward, recomputed forward and backward gather and scatter twice each in 20 layers, for 8 microbatches; a call sends 7/8 of
  // [8192, 8192] in bfloat16.
  for (const kind of ["all-gather", "reduce-scatter"]) {
    const { calls, sentBytes } = traffic("tp", kind);
    assert.equal(calls, 20 * 8 * 6);
    assert.equal(sentBytes, (calls * 8192 * 8192 * 2 * 7) / 8);
  }
  // In a pipeline parameters are gathered once, and gradients are added up, in float32, once.
  assert.equal(traffic("dp_shard", "all-gather").calls, 20);
  assert.equal(traffic("dp_shard", "reduce-scatter").calls, 20);
  const messages = traffic("pp", "send");
  assert.deepEqual([messages.calls, messages.sentBytes], [16, 16 * 1024 * 8192 * 2]);
});

test("the screen, with speeds", async () => {
  const { code, stdout, stderr } = await forge(
    [
      "simulate",
      `--config=${recipe}`,
      "--procs=16",
      "--speed=400,50",
      "--gpu=h100",
      "--links=nvlink:450,ib:50",
      "model.flavor=1B",
      "parallelism.tensor_parallel_degree=2",
      "parallelism.pipeline_parallel_degree=2",
      "training.seq_len=512",
    ],
    offline,
  );
  assert.equal(code, 0, stderr);
  for (const line of [
    /^mesh {11}16 processes: pp 2 x dp_shard 4 x tp 2/m,
    /^ {2}pp 1 +\d+\.\d GiB {2}\(weights and moments \d+\.\d GiB; torchforge plan says \d+\.\d GiB\)$/m,
    /^ {4}reduce-scatter {2}dp_shard +of 4 +\d+ calls +\d+\.\d GiB, \d+ % with nothing to compute meanwhile$/m,
    /^bubble {9}\d+\.\d % of a step/m,
    /^step {11}\d+\.\d+ m?s: [\d,]+ tokens\/s, MFU \d+\.\d %; a roofline/m,
    /^ {2}products and attention \d+\.\d+ m?s, memory \d+\.\d+ m?s, idle in the pipeline \d+\.\d+ m?s$/m,
    /^ {2}collectives \d+\.\d+ m?s, of which \d+\.\d+ m?s exposed$/m,
    /^time {11}at 400 Tflop\/s and 50 GB\/s: computing \d+\.\d\d s, collectives \d+\.\d\d s, of which at least/m,
  ])
    assert.match(stdout, line);
});

test("with offloaded states a GPU holds what it computes with, and main memory the rest", async () => {
  const simulate = async (...overrides: string[]): Promise<SimulationReport["ranks"]> => {
    const sizes = ["parallelism.pipeline_parallel_degree=1", "model.flavor=8B", ...overrides];
    const found = await forge(["simulate", `--config=${recipe}`, "--procs=64", "--json", ...sizes], offline);
    assert.equal(found.code, 0, found.stderr);
    return (JSON.parse(found.stdout) as SimulationReport).ranks;
  };
  const [whole] = await simulate();
  const [offloaded] = await simulate("training.enable_cpu_offload=true");
  // Weights and moments, and their gradients, which are a third of that.
  assert.ok(Math.abs(offloaded!.mainBytes / ((4 / 3) * whole!.stateBytes) - 1) < 0.01);
  assert.ok(offloaded!.stateBytes < 0.01 * whole!.stateBytes, `${offloaded!.stateBytes} bytes`);
  assert.equal(whole!.mainBytes, 0);
  const saved = whole!.peakBytes - offloaded!.peakBytes;
  assert.ok(saved > 0.9 * whole!.stateBytes, `${saved} of ${whole!.stateBytes} bytes`);
  assert.ok(Math.abs(offloaded!.forecastBytes / offloaded!.peakBytes - 1) < 0.1);
  const sums = ({ traffic }: SimulationReport["ranks"][number]) =>
    traffic.map(({ axis, kind, calls, sentBytes }) => ({ axis, kind, calls, sentBytes }));
  assert.deepEqual(sums(offloaded!), sums(whole!));
});

test("experts on 16 GPUs that share them by eight, each row on two: what they send", async () => {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-simulate-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const json = { ...flavorJson("qwen3_moe", "30B-A3B"), num_hidden_layers: 4 };
  writeFileSync(join(folder, "config.json"), JSON.stringify(json));
  const { code, stdout, stderr } = await forge([
    "simulate",
    "--procs=16",
    "--json",
    `model.hf_assets_path=${folder}`,
    "processes.with_gpus=true",
    "training.dataset=rows.jsonl",
    "training.seq_len=4096",
    "training.local_batch_size=1",
    "training.mixed_precision_param=bfloat16",
    "activation_checkpoint.mode=full",
    "parallelism.expert_parallel_degree=8",
    "parallelism.context_parallel_degree=2",
  ]);
  assert.equal(code, 0, stderr);
  const [rank] = (JSON.parse(stdout) as SimulationReport).ranks;
  const traffic = (axis: string, kind: string) =>
    rank!.traffic.find((one) => one.axis === axis && one.kind === kind)!;
  // 4096 / 2 tokens x 8 pairs, of which 7 of 8 go to others: forward, forward again and backward each there and back with
  // 2048 numbers of bfloat16, and there with a float32 weight; and forward alone with 16 counts of int64 to each of seven.
  const pairs = (2048 * 8 * 7) / 8;
  const exchange = traffic("experts", "all-to-all");
  assert.equal(exchange.calls, 4 * (3 * 3 + 2));
  assert.equal(exchange.sentBytes, 4 * (3 * pairs * (2 * 2048 * 2 + 4) + 2 * 7 * 16 * 8));
  // Keys and values of its own 2048 positions, 4 heads of 128, go to one other; their gradients too.
  const own = 2 * 2048 * 4 * 128 * 2;
  assert.equal(traffic("cp", "all-gather").sentBytes, 4 * 2 * own);
  assert.equal(traffic("cp", "reduce-scatter").sentBytes, 4 * own);
  // Those that have the same experts, two of them, gather half a rank's eighth.
  const experts = (128 / 8) * 3 * 2048 * 768;
  assert.equal(traffic("same experts", "all-gather").sentBytes % (experts / 2), 0);
  assert.ok(Math.abs(rank!.forecastBytes / rank!.peakBytes - 1) < 0.1);
});

test("speeds that are none are refused by name", async () => {
  const speed = await forge(["simulate", "--config", recipe, "--speed", "fast"], offline);
  assert.equal(speed.code, 2);
  assert.match(speed.stderr, /--speed: expected two numbers above 0/);
  const links = await forge(["simulate", "--config", recipe, "--links", "ib:50"], offline);
  assert.equal(links.code, 2);
  assert.match(links.stderr, /--links: needs --gpu, whose forecast it is for/);
});
