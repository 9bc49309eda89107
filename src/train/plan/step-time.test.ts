// The roofline of a step beside what runs took: one H200, torch 2.11.0+cu130, full rows, random weights. The fastest run of Llama 3
// 8B in bfloat16, 2 x 4,096, took 730 ms; its products, FlashAttention 2 and the optimizer's bytes alone 626 ms. A smaller
// model waits for its kernels' launches, which a roofline doesn't know: 1.2B, 8 x 2,048, took 287 ms, and 206 ms of those.
import assert from "node:assert/strict";
import test from "node:test";

import { Config, type ConfigInput } from "../../config/index.ts";
import { modelOfFlavor } from "../../models/index.ts";
import { cardOf, linksOf } from "./cards.ts";
import type { Traffic } from "./simulate.ts";
import { stepTime, type StepTime } from "./step-time.ts";

const links = { within: 450, between: 50 };

function forecast(
  flavor: string,
  sections: ConfigInput,
  traffic: readonly Partial<Traffic>[] = [],
  bubble = 0,
): StepTime {
  const { spec } = Config.create({
    model: { hf_assets_path: "m" },
    ...sections,
    processes: { with_gpus: true, ...sections.processes },
  });
  const ranks = [{ stage: 0, traffic } as never];
  return stepTime({
    spec,
    model: modelOfFlavor("llama3", flavor),
    ranks,
    bubble,
    card: cardOf("h200"),
    links,
  });
}

const eight = { training: { dtype: "bfloat16", local_batch_size: 2, seq_len: 4096 } } as const;

void test("one H200: between what products and memory alone take and the fastest run", () => {
  const large = forecast("8B", eight);
  assert.ok(Math.abs(large.step / 0.73 - 1) < 0.15, `${large.step} s`);
  assert.ok(large.step > 0.626);
  const training = { mixed_precision_param: "bfloat16", local_batch_size: 8, seq_len: 2048 } as const;
  const small = forecast("1B", { training });
  assert.ok(Math.abs(small.step / 0.206 - 1) < 0.15 && small.step < 0.287, `${small.step} s`);
  assert.ok(Math.abs(large.tokensPerSecond * large.step - 8192) < 1e-6);
  assert.ok(large.utilization > 0.5 && large.utilization < 0.65, `${large.utilization}`);
});

void test("layers that are computed again take a third more; narrow moments move less", () => {
  const plain = forecast("8B", eight);
  const again = forecast("8B", { ...eight, activation_checkpoint: { mode: "full" } });
  const ratio = again.computing / plain.computing;
  assert.ok(ratio > 1.25 && ratio < 1.34, `${ratio}`);
  const narrow = forecast("8B", { ...eight, optimizer: { state_dtype: "int8" } });
  // Two moments of 4 bytes are read and written; of them 12 in 16 bytes go.
  const saved = (plain.moving - narrow.moving) * 4800e9 * 0.85;
  assert.ok(Math.abs(saved / (8.03e9 * 12) - 1) < 0.01, `${saved}`);
});

void test("what is waited for is exposed, what is not only where it is longer than computing", () => {
  const busy = forecast("8B", eight);
  const bytes = 45e9;
  const within = { kind: "all-gather", isWithin: true, sentBytes: bytes } as const;
  const hidden = forecast("8B", eight, [{ ...within, waitedBytes: 0 }]);
  assert.ok(Math.abs(hidden.communicating - 0.1) < 1e-9);
  assert.deepEqual([hidden.exposed, hidden.step], [0, busy.step]);
  const waited = forecast("8B", eight, [{ ...within, waitedBytes: bytes }]);
  assert.ok(Math.abs(waited.step - busy.step - 0.1) < 1e-9);
  const between = forecast("8B", eight, [{ ...within, isWithin: false, waitedBytes: 0 }]);
  assert.ok(Math.abs(between.step - 0.9) < 1e-9, "longer than all computing");
  const piped = forecast("8B", eight, [], 0.2);
  assert.ok(Math.abs(piped.step - busy.step / 0.8) < 1e-9);
});

void test("cards and links that are none are refused by name", () => {
  assert.throws(() => cardOf("gtx"), /^UserError: --gpu: expected a100, h100, h200, b200; found gtx$/);
  assert.deepEqual(linksOf("nvlink:450,ib:50"), links);
  assert.deepEqual(linksOf("pcie:25"), { within: 25, between: 25 });
  for (const text of ["", "fast", "nvlink:0,ib:1", "a:1,b:2,c:3", "nvlink:450,ib:0"])
    assert.throws(() => linksOf(text), /--links: expected a rate in 10\^9 bytes a second within a machine/);
});
