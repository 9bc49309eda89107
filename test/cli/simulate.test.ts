// `forge simulate`: the recipe of a big run, whose traffic is what its shapes say, and what it refuses.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import type { SimulationReport } from "../../src/train/index.ts";
import { root } from "../programs.ts";
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
  // In a pipeline parameters are gathered once; gradients are added up, in float32, after every microbatch.
  assert.equal(traffic("dp_shard", "all-gather").calls, 20);
  assert.equal(traffic("dp_shard", "reduce-scatter").calls, 160);
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
    /^time {11}at 400 Tflop\/s and 50 GB\/s: computing \d+\.\d\d s, collectives \d+\.\d\d s, of which at least/m,
  ])
    assert.match(stdout, line);
});

test("what can't be simulated is refused by name", async () => {
  const offload = await forge(
    ["simulate", "--config", recipe, "--procs", "256", "training.enable_cpu_offload=true"],
    offline,
  );
  assert.equal(offload.code, 2);
  assert.match(offload.stderr, /training\.enable_cpu_offload: what is in main memory and what on the device/);
  const speed = await forge(["simulate", "--config", recipe, "--speed", "fast"], offline);
  assert.equal(speed.code, 2);
  assert.match(speed.stderr, /--speed: expected two numbers above 0/);
});
