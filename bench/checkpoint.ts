// What a checkpoint costs the step that saves it: the time that training waits for a synchronous save, and for one that a
// thread writes (checkpoint.async_mode), of the same tensors onto the same disk. What the writing costs the steps that run
// beside it isn't in it. The bars are for saves that find their buffers; the first, which takes the memory, is told beside.
import { mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";

import { Checkpointer, type CheckpointerOptions } from "../src/checkpoint/index.ts";
import { makeOptimizer } from "../src/optim/index.ts";
import * as torch from "../src/torch/index.ts";
import { alternate, median, medianRatio, quick, report } from "./harness.ts";

const rounds = quick ? 2 : 5;
const limit = 0.1;
/** Weights and two moments of 4 MiB a tensor: 384 MiB in all. */
const count = quick ? 8 : 32;
const mb = 2 ** 20;

// On the disk of the checkout: the folder of temporary files is often memory.
const work = mkdtempSync(join(resolve(import.meta.dirname, ".."), ".bench-checkpoint-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));

torch.manualSeed(1);
const first: Record<string, number> = {};
const names = Array.from({ length: count }, (_, i) => `layers.${i}.weight`);
const model = new Map(names.map((name) => [name, torch.randn([1024, 1024])]));
const optimizer = makeOptimizer({}, model).state();

/** Milliseconds that a save keeps its caller; the writing ends before the next is timed. */
function contender(mode: CheckpointerOptions["asyncMode"] & string): () => Promise<number> {
  const folder = join(work, mode);
  const checkpointer = new Checkpointer({ folder, steps: 1e9, keepLatestK: 2, asyncMode: mode });
  let step = 0;
  return async () => {
    const saved = await checkpointer.save({ step: ++step, model, optimizer });
    await checkpointer.settle();
    first[mode] ??= saved!.seconds * 1000;
    return saved!.seconds * 1000;
  };
}

const measured = await alternate(rounds, {
  disabled: contender("disabled"),
  async: contender("async"),
  async_with_pinned_mem: contender("async_with_pinned_mem"),
});

const megabytes =
  [...model.values(), ...optimizer.map((one) => one.tensor)].reduce((sum, one) => sum + one.nbytes, 0) / mb;
report(
  "checkpoint",
  {
    tensors_mb: megabytes,
    sync_stall_ms: median(measured.disabled),
    async_stall_ms: median(measured.async),
    async_with_pinned_mem_stall_ms: median(measured.async_with_pinned_mem),
    async_first_stall_ms: first["async"]!,
    async_with_pinned_mem_first_stall_ms: first["async_with_pinned_mem"]!,
    rounds,
  },
  (["async", "async_with_pinned_mem"] as const).map((mode) => ({
    name: `stall of a save, ${mode} / disabled`,
    value: medianRatio(measured[mode], measured.disabled),
    op: "<=",
    limit,
  })),
);
