// How the degrees of parallelism fit each other and the number of processes.
import { type Check, degreeKeys, when } from "./check.ts";
import { leftForShard } from "../../run/run-spec.ts";

export const parallelismChecks: readonly Check[] = [
  {
    keys: [
      "parallelism.data_parallel_shard_degree",
      ...degreeKeys.filter((k) => !k.includes("shard")),
      "processes.procs",
    ],
    severity: "error",
    rule: "replicate × shard × context × tensor × pipeline degrees must be processes.procs",
    run(config) {
      const p = config.parallelism;
      const { procs } = config.processes;
      const shard = p.data_parallel_shard_degree;
      const values = degreeKeys.map((key) => p[key.slice("parallelism.".length) as keyof typeof p] as number);
      const named = degreeKeys.map((key, i) => `${key} (${values[i]})`).join(" × ");
      if (shard === -1) {
        return when(
          !Number.isInteger(leftForShard(config)),
          () =>
            `${named}: processes.procs (${procs}) is not divisible by ${procs / leftForShard(config)}, the product of the degrees that are not -1`,
        );
      }
      const product = values.reduce((a, b) => a * b, 1);
      return when(
        product !== procs,
        () =>
          `${named} = ${product}, but must be processes.procs (${procs}); change a degree, or set parallelism.data_parallel_shard_degree to -1 to take what is left`,
      );
    },
  },
  {
    keys: [
      "parallelism.expert_parallel_degree",
      "parallelism.data_parallel_shard_degree",
      "parallelism.context_parallel_degree",
      "parallelism.tensor_parallel_degree",
      "parallelism.expert_tensor_parallel_degree",
      "processes.procs",
    ],
    severity: "error",
    rule: "the expert degree must divide the shard × context degrees (× tensor, where the expert tensor degree is 1)",
    run({ parallelism: p }, { degrees }) {
      const tensor = p.expert_tensor_parallel_degree === 1 ? degrees.tensor : 1;
      const ranks = degrees.shard * degrees.context * tensor;
      return when(
        ranks % degrees.expert !== 0,
        () =>
          `parallelism.expert_parallel_degree (${degrees.expert}) must divide parallelism.data_parallel_shard_degree (${degrees.shard}) × parallelism.context_parallel_degree (${degrees.context})${tensor > 1 ? ` × parallelism.tensor_parallel_degree (${tensor})` : ""} = ${ranks}`,
      );
    },
  },
  {
    keys: [
      "parallelism.expert_parallel_degree",
      "parallelism.tensor_parallel_degree",
      "parallelism.expert_tensor_parallel_degree",
    ],
    severity: "error",
    rule: "where the expert tensor degree is 1 and experts are divided, the expert degree must be a multiple of the tensor degree",
    run: ({ parallelism: p }) =>
      when(
        p.expert_parallel_degree > 1 &&
          p.expert_tensor_parallel_degree === 1 &&
          p.expert_parallel_degree % p.tensor_parallel_degree !== 0,
        () =>
          `parallelism.expert_parallel_degree (${p.expert_parallel_degree}) must be a multiple of parallelism.tensor_parallel_degree (${p.tensor_parallel_degree}): with parallelism.expert_tensor_parallel_degree (1) experts are whole, and the ranks of a tensor group have different ones; set it to ${p.tensor_parallel_degree} to have a part of each expert on each of them`,
      ),
  },
  {
    keys: ["parallelism.expert_tensor_parallel_degree", "parallelism.tensor_parallel_degree"],
    severity: "error",
    rule: "the expert tensor degree must be 1 or the tensor degree",
    run: ({ parallelism: p }) =>
      when(
        p.expert_tensor_parallel_degree !== 1 && p.expert_tensor_parallel_degree !== p.tensor_parallel_degree,
        () =>
          `parallelism.expert_tensor_parallel_degree (${p.expert_tensor_parallel_degree}) must be 1 or parallelism.tensor_parallel_degree (${p.tensor_parallel_degree})`,
      ),
  },
  {
    keys: ["parallelism.disable_loss_parallel", "parallelism.tensor_parallel_degree"],
    severity: "warning",
    rule: "parallelism.disable_loss_parallel acts with tensor parallelism alone",
    run: ({ parallelism: p }) =>
      when(
        p.disable_loss_parallel && p.tensor_parallel_degree === 1,
        () =>
          "parallelism.disable_loss_parallel (true) does nothing with parallelism.tensor_parallel_degree 1; remove it",
      ),
  },
  {
    keys: [
      "parallelism.fsdp_reduce_gradients",
      "training.global_batch_size",
      "parallelism.pipeline_parallel_degree",
    ],
    severity: "warning",
    rule: "parallelism.fsdp_reduce_gradients once acts where a step has several passes",
    run: ({ parallelism: p }, { accumulationSteps }) =>
      when(
        p.fsdp_reduce_gradients === "once" && accumulationSteps === 1 && p.pipeline_parallel_degree === 1,
        () =>
          "parallelism.fsdp_reduce_gradients (once) does nothing in a step of one pass, whose gradients are reduced once in any case; remove it",
      ),
  },
  {
    keys: [
      "parallelism.pipeline_parallel_degree",
      "training.local_batch_size",
      "training.global_batch_size",
      "parallelism.pipeline_parallel_schedule",
    ],
    severity: "warning",
    rule: "a pipeline should have as many microbatches as stages: the rows of all accumulation steps, with GPipe training.local_batch_size",
    run({ parallelism: p, training: t }, { accumulationSteps }) {
      // GPipe's schedule is one of a batch, the others' one of a step.
      const passes = p.pipeline_parallel_schedule === "GPipe" ? 1 : accumulationSteps;
      const times = passes === 1 ? "" : ` × ${passes} accumulation steps`;
      return when(
        t.local_batch_size * passes < p.pipeline_parallel_degree,
        () =>
          `training.local_batch_size (${t.local_batch_size})${times} is less than parallelism.pipeline_parallel_degree (${p.pipeline_parallel_degree}): with fewer microbatches than stages, stages stand idle; raise it to ${2 * p.pipeline_parallel_degree} or more`,
      );
    },
  },
];
