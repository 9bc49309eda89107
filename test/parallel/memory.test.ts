// What a simulated step measures, and what `forge plan` counts, is what the real trainer takes: within 10 %, for one process
// and for each kind of division on two; and it sends what the flight recorders of the real ranks say, to the byte.
// bench:memory does the same with more modes and a bigger model.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { compareMemory, makeModelFolder } from "./memory-runs.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-memory-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const sizes = {
  vocab_size: 16384,
  hidden_size: 256,
  intermediate_size: 768,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
};
const dense = makeModelFolder(join(folder, "dense"), sizes);
/** With layers like those of the other. Both ranks compute the same batch, so that what one sends the other sends back. */
const experts = makeModelFolder(join(folder, "experts"), {
  ...sizes,
  model_type: "qwen3_moe",
  head_dim: 64,
  moe_intermediate_size: 192,
  num_experts: 8,
  num_experts_per_tok: 2,
});

const ring = { context_parallel_degree: 2, context_parallel_rotate_method: "alltoall" } as const;
const cases = [
  ["one process", dense, 1, {}, "none"],
  ["two shards", dense, 2, { data_parallel_shard_degree: 2 }, "selective"],
  ["divided matrices", dense, 2, { tensor_parallel_degree: 2 }, "none"],
  ["a pipeline", dense, 2, { pipeline_parallel_degree: 2 }, "full"],
  ["sequences whose keys are gathered", dense, 2, { context_parallel_degree: 2 }, "full"],
  ["sequences whose keys pass in a ring", dense, 2, ring, "none"],
  ["divided experts", experts, 2, { expert_parallel_degree: 2 }, "none"],
] as const;

for (const [name, model, procs, parallelism, mode] of cases) {
  test(`${name}, checkpointing ${mode}`, { timeout: 600_000 }, async () => {
    const { ranks } = await compareMemory(name, model, procs, {
      parallelism,
      training: {
        // Long where a rank computes a part of it.
        seq_len: "context_parallel_degree" in parallelism ? 1024 : 256,
        local_batch_size: "pipeline_parallel_degree" in parallelism ? 4 : 1,
      },
      activation_checkpoint: { mode },
    });
    for (const { measured, simulated, forecastBytes, sent, traffic } of ranks) {
      // Blocks of some hundred KiB are rounded up to whole pages: 3 % of a model as small as this.
      const near = (found: number, expected: number, what: string): void =>
        assert.ok(Math.abs(found / expected - 1) < 0.1, `${what}: ${found} bytes, measured ${expected}`);
      near(simulated.stateBytes, measured.stateBytes, "weights and moments of a simulated rank");
      near(simulated.peakBytes, measured.peakBytes, "a simulated step");
      near(forecastBytes, measured.peakBytes, "the forecast");
      assert.deepEqual(traffic, sent);
      assert.equal(Object.keys(sent).length > 0, procs > 1);
    }
  });
}
