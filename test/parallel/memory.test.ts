// What a simulated step measures, and what `forge plan` counts, is what the real trainer takes: within 10 %, for one process
// and for each kind of division on two. bench:memory does the same with more modes and a bigger model.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { compareMemory, makeModelFolder } from "./memory-runs.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-memory-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const model = makeModelFolder(folder, {
  hidden_size: 256,
  intermediate_size: 768,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
});

const cases = [
  ["one process", 1, {}, "none"],
  ["two shards", 2, { data_parallel_shard_degree: 2 }, "selective"],
  ["divided matrices", 2, { tensor_parallel_degree: 2 }, "none"],
  ["a pipeline", 2, { pipeline_parallel_degree: 2 }, "full"],
] as const;

for (const [name, procs, parallelism, mode] of cases) {
  test(`${name}, checkpointing ${mode}`, { timeout: 600_000 }, async () => {
    const { ranks } = await compareMemory(name, model, procs, {
      parallelism,
      training: { seq_len: 256, local_batch_size: "pipeline_parallel_degree" in parallelism ? 4 : 1 },
      activation_checkpoint: { mode },
    });
    for (const { measured, simulated, forecastBytes } of ranks) {
      // Blocks of some hundred KiB are rounded up to whole pages: 3 % of a model as small as this.
      const near = (found: number, expected: number, what: string): void =>
        assert.ok(Math.abs(found / expected - 1) < 0.1, `${what}: ${found} bytes, measured ${expected}`);
      near(simulated.stateBytes, measured.stateBytes, "weights and moments of a simulated rank");
      near(simulated.peakBytes, measured.peakBytes, "a simulated step");
      near(forecastBytes, measured.peakBytes, "the forecast");
    }
  });
}
