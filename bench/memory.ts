// Memory of a rank as the trainer has it, as a simulated step measures it and as `forge plan` counts it: one process, FSDP,
// tensor and pipeline parallelism on two, with each mode of activation checkpointing. Random weights.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  compareMemory,
  evenHeadSizes,
  makeModelFolder,
  type Compared,
} from "../test/parallel/memory-runs.ts";
import { quick, report } from "./harness.ts";

// SmolLM2-135M's shapes with heads that two ranks can share; or a tenth of it.
const sizes = quick
  ? {
      hidden_size: 256,
      intermediate_size: 768,
      num_hidden_layers: 6,
      num_attention_heads: 4,
      num_key_value_heads: 2,
    }
  : evenHeadSizes;
const seqLen = quick ? 256 : 512;
const divisions = {
  one: [1, {}],
  fsdp2: [2, { data_parallel_shard_degree: 2 }],
  ddp2: [2, { data_parallel_replicate_degree: 2 }],
  tp2: [2, { tensor_parallel_degree: 2 }],
  pp2: [2, { pipeline_parallel_degree: 2 }],
  pp2_zero_bubble: [2, { pipeline_parallel_degree: 2, pipeline_parallel_schedule: "ZBVZeroBubble" }],
} as const;

const folder = mkdtempSync(join(tmpdir(), "torchforge-memory-"));
const found: Compared[] = [];
try {
  const model = makeModelFolder(join(folder, "model"), sizes);
  for (const [division, [procs, parallelism]] of Object.entries(divisions)) {
    for (const mode of ["none", "selective", "full"] as const) {
      for (const dtype of ["float32", "bfloat16"] as const) {
        if (dtype === "bfloat16" && mode !== "selective") continue;
        const name = `${division}_${mode}${dtype === "float32" ? "" : "_mixed"}`;
        const one = await compareMemory(name, model, procs, {
          parallelism,
          training: {
            seq_len: seqLen,
            local_batch_size: division.startsWith("pp") ? 4 : 1,
            mixed_precision_param: dtype,
          },
          activation_checkpoint: { mode },
        });
        found.push(one);
        for (const [i, { measured, simulated, forecastBytes }] of one.ranks.entries())
          console.error(
            `${`${name}${one.ranks.length > 1 ? `, pp ${i}` : ""}`.padEnd(32)} measured ${mib(measured.peakBytes)} MiB (states ${mib(measured.stateBytes)}), simulated ${percent(simulated.peakBytes, measured.peakBytes)} (states ${percent(simulated.stateBytes, measured.stateBytes)}), forecast ${percent(forecastBytes, measured.peakBytes)}`,
          );
      }
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0).padStart(5);
}
function percent(bytes: number, of: number): string {
  return `${((100 * bytes) / of).toFixed(1)} %`;
}

const ranks = found.flatMap((one) => one.ranks);
const worst = (of: (one: (typeof ranks)[number]) => number): number =>
  Math.max(...ranks.map((one) => Math.abs(of(one) / one.measured.peakBytes - 1)));
const figures = Object.fromEntries(
  found.map(({ name, ranks: each }) => [
    `${name}_peak_mb`,
    Math.max(...each.map(({ measured }) => measured.peakBytes)) / 2 ** 20,
  ]),
);
report("memory", figures, [
  {
    name: "largest error of a simulated step's memory",
    op: "<=",
    limit: 0.1,
    value: worst((one) => one.simulated.peakBytes),
  },
  {
    name: "largest error of forge plan's memory",
    op: "<=",
    limit: 0.1,
    value: worst((one) => one.forecastBytes),
  },
]);
process.exit();
