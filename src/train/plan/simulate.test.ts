// What `forge plan` counts from shapes is what a simulated step measures: memory within 10 %, and what a process sends almost to
// the byte. Every division of big models, which no real run here could be compared with; those are in
// test/parallel/memory.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Config, type ConfigInput } from "../../config/index.ts";
import { flavorJson, modelOfFlavor, parseModelConfig, type ModelConfig } from "../../models/index.ts";
import { forecastRank } from "./forecast.ts";
import { plannedTraffic } from "./planned-traffic.ts";
import { simulate, type Traffic } from "./simulate.ts";

const llama = modelOfFlavor("llama3", "8B");
const tied = modelOfFlavor("llama3", "1B");
/** Qwen3-30B-A3B's layers, eight of them. */
const experts = parseModelConfig(
  { ...flavorJson("qwen3_moe", "30B-A3B"), num_hidden_layers: 8, output_router_logits: true },
  "test",
);

/** Which calls a line of the plan stands for. */
const meant: Record<string, (one: Traffic) => boolean> = {
  stages: ({ axis, kind }) => axis === "pp" && kind === "send",
  "tied embedding": ({ axis }) => axis === "tied embedding",
  context: ({ axis }) => axis === "cp",
  "tensor, loss, norms": ({ axis }) => axis === "tp",
  "all-gather": ({ axis, kind }) => isShards(axis) && kind === "all-gather",
  "reduce-scatter": ({ axis, kind }) => isShards(axis) && kind === "reduce-scatter",
  "all-to-all": ({ axis }) => axis === "experts",
  "all-reduce": ({ axis, kind }) => axis === "dp_replicate" && kind === "all-reduce",
};
const isShards = (axis: string): boolean => axis.startsWith("dp_shard") || axis === "same experts";

type Case = [
  name: string,
  model: ModelConfig,
  procs: number,
  ConfigInput["parallelism"],
  ConfigInput["training"]?,
  ConfigInput["optimizer"]?,
  ConfigInput["adapter"]?,
  ConfigInput["quantize"]?,
];
const long = { seq_len: 131_072, local_batch_size: 1 };
const cases: Case[] = [
  ["shards, two passes", llama, 64, {}, { global_batch_size: 512 }],
  ["shards that always go", llama, 64, { fsdp_reshard_after_forward: "always" }],
  ["replicas", tied, 8, { data_parallel_replicate_degree: 8 }],
  ["replicas of shards", llama, 64, { data_parallel_replicate_degree: 8, data_parallel_shard_degree: 8 }],
  ["offloaded shards", llama, 64, {}, { enable_cpu_offload: true }],
  ["divided matrices", llama, 64, { tensor_parallel_degree: 8 }],
  ["divided matrices alone", tied, 8, { tensor_parallel_degree: 8 }],
  ["stages", tied, 64, { pipeline_parallel_degree: 4 }],
  ["stages of divided matrices", llama, 64, { pipeline_parallel_degree: 4, tensor_parallel_degree: 4 }],
  [
    "stages that split backward, of shards that always go",
    tied,
    64,
    {
      pipeline_parallel_degree: 4,
      pipeline_parallel_schedule: "ZBVZeroBubble",
      fsdp_reshard_after_forward: "always",
    },
  ],
  ["updated in backward", tied, 1, {}, {}, { in_backward: true }],
  [
    "shards, updated in backward, with narrow states",
    llama,
    8,
    {},
    {},
    { in_backward: true, state_dtype: "int8" },
  ],
  [
    "replicas with narrow states",
    tied,
    8,
    { data_parallel_replicate_degree: 8 },
    {},
    { state_dtype: "bfloat16" },
  ],
  [
    "stages whose passes reduce each",
    tied,
    64,
    { pipeline_parallel_degree: 4, fsdp_reduce_gradients: "every_pass" },
  ],
  [
    "shards, two passes, reduced once",
    llama,
    64,
    { fsdp_reduce_gradients: "once" },
    { global_batch_size: 512 },
  ],
  ["all logits", tied, 8, { tensor_parallel_degree: 8, disable_loss_parallel: true }],
  ["gathered keys", llama, 64, { context_parallel_degree: 4 }],
  ["a ring", llama, 64, { context_parallel_degree: 4, context_parallel_rotate_method: "alltoall" }],
  ["long sequences, gathered keys", llama, 16, { context_parallel_degree: 4 }, long],
  [
    "long sequences, a ring",
    llama,
    16,
    { context_parallel_degree: 4, context_parallel_rotate_method: "alltoall" },
    long,
  ],
  ["stages of divided experts", experts, 64, { pipeline_parallel_degree: 4, expert_parallel_degree: 8 }],
  ["divided experts", experts, 64, { expert_parallel_degree: 8 }],
  [
    "divided matrices of divided experts",
    experts,
    64,
    { expert_parallel_degree: 8, tensor_parallel_degree: 4, expert_tensor_parallel_degree: 4 },
  ],
  [
    "whole experts on the ranks of divided matrices",
    experts,
    64,
    { expert_parallel_degree: 8, tensor_parallel_degree: 4 },
  ],
  [
    "whole experts, and all else divided",
    experts,
    4,
    { expert_parallel_degree: 4, tensor_parallel_degree: 4 },
  ],
  ["an adapter", tied, 1, {}, { local_batch_size: 2, seq_len: 2048 }, {}, { method: "lora" }],
  ["an adapter of shards", llama, 8, {}, {}, {}, { method: "lora", rank: 32 }],
  ["an adapter of replicas", tied, 8, { data_parallel_replicate_degree: 8 }, {}, {}, { method: "lora" }],
  ["a quantized base", llama, 1, {}, { seq_len: 2048 }, {}, { method: "lora" }, { base: "nf4" }],
  ["a quantized base of shards", llama, 8, {}, {}, {}, { method: "lora" }, { base: "int8" }],
  ["the last layers of shards", llama, 8, {}, { trainable: ["layers[-4:]"] }],
];

for (const [name, model, procs, parallelism, training, optimizer, adapter, quantize] of cases) {
  for (const mode of ["selective", "full"] as const) {
    void test(`${name}, checkpointing ${mode}`, async () => {
      const config = Config.create({
        model: { hf_assets_path: "somewhere" },
        processes: { procs, with_gpus: true },
        training: {
          dataset: "rows.jsonl",
          seq_len: 4096,
          local_batch_size: 4,
          mixed_precision_param: "bfloat16",
          ...training,
        },
        parallelism: parallelism!,
        optimizer: optimizer ?? {},
        adapter: adapter ?? {},
        quantize: quantize ?? {},
        activation_checkpoint: { mode },
      });
      for (const { stage, peakBytes, traffic } of await simulate(config.spec, model)) {
        const expected = forecastRank(config.spec, model, stage).totalBytes;
        const near = (sum: number, measured: number, within: number, what: string): void =>
          assert.ok(
            Math.abs(sum - measured) <= within * measured,
            `${what} of stage ${stage}: ${sum} bytes, simulated ${measured}`,
          );
        // What a split backward keeps of a selective layer is counted a little high.
        near(expected, peakBytes, name.startsWith("stages that split backward") ? 0.13 : 0.1, "memory");
        const planned = plannedTraffic(config.spec, model, stage);
        for (const one of traffic)
          if (one.sentBytes > 1e5)
            assert.ok(
              Object.values(meant).some((is) => is(one)),
              `${one.kind} along ${one.axis} isn't planned`,
            );
        for (const [what, isMeant] of Object.entries(meant)) {
          const found = traffic.filter(isMeant).reduce((sum, { sentBytes }) => sum + sentBytes, 0);
          const sum = planned
            .filter((one) => what.split(", ").includes(one.name))
            .reduce((all, { bytes }) => all + bytes, 0);
          // Losses, norms and numbers of tokens are sent, too.
          near(sum, found, 1e-4, what);
        }
      }
    });
  }
}
