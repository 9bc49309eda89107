import { parallelismChecks } from "./parallelism.ts";
import { tryChecks } from "./testing.ts";

tryChecks(parallelismChecks, {
  refused: [
    [
      { processes: { procs: 8 }, parallelism: { data_parallel_shard_degree: 4, tensor_parallel_degree: 4 } },
      "parallelism.data_parallel_replicate_degree (1) × parallelism.data_parallel_shard_degree (4) × parallelism.context_parallel_degree (1) × parallelism.tensor_parallel_degree (4) × parallelism.pipeline_parallel_degree (1) = 16, but must be processes.procs (8); change a degree, or set parallelism.data_parallel_shard_degree to -1 to take what is left",
      [["parallelism.data_parallel_shard_degree=2"], ["parallelism.data_parallel_shard_degree=-1"]],
    ],
    [
      { processes: { procs: 8 }, parallelism: { tensor_parallel_degree: 3 }, training: { seq_len: 2046 } },
      "parallelism.data_parallel_replicate_degree (1) × parallelism.data_parallel_shard_degree (-1) × parallelism.context_parallel_degree (1) × parallelism.tensor_parallel_degree (3) × parallelism.pipeline_parallel_degree (1): processes.procs (8) is not divisible by 3, the product of the degrees that are not -1",
      [["parallelism.tensor_parallel_degree=2"], ["processes.procs=6"]],
    ],
    [
      { processes: { procs: 4 }, parallelism: { expert_parallel_degree: 3 } },
      "parallelism.expert_parallel_degree (3) must divide parallelism.data_parallel_shard_degree (4) × parallelism.context_parallel_degree (1) = 4",
      [["parallelism.expert_parallel_degree=2"]],
    ],
    [
      {
        processes: { procs: 4 },
        parallelism: { tensor_parallel_degree: 4, expert_tensor_parallel_degree: 2 },
      },
      "parallelism.expert_tensor_parallel_degree (2) must be 1 or parallelism.tensor_parallel_degree (4)",
      [["parallelism.expert_tensor_parallel_degree=1"], ["parallelism.expert_tensor_parallel_degree=4"]],
    ],
    [
      {
        processes: { procs: 12 },
        parallelism: { tensor_parallel_degree: 4, expert_parallel_degree: 6 },
        training: { global_batch_size: 12 },
      },
      "parallelism.expert_parallel_degree (6) must be a multiple of parallelism.tensor_parallel_degree (4): with parallelism.expert_tensor_parallel_degree (1) experts are whole, and the ranks of a tensor group have different ones; set it to 4 to have a part of each expert on each of them",
      [
        ["parallelism.expert_parallel_degree=4"],
        ["parallelism.expert_tensor_parallel_degree=4", "parallelism.expert_parallel_degree=3"],
      ],
    ],
  ],
  warned: [
    [
      { processes: { procs: 2 }, parallelism: { pipeline_parallel_degree: 2 } },
      "training.local_batch_size (1) is less than parallelism.pipeline_parallel_degree (2): with fewer microbatches than stages, stages stand idle; raise it to 4 or more",
      [["training.local_batch_size=4"]],
    ],
    [
      { parallelism: { fsdp_reduce_gradients: "once" } },
      "parallelism.fsdp_reduce_gradients (once) does nothing in a step of one pass, whose gradients are reduced once in any case; remove it",
      [["~parallelism.fsdp_reduce_gradients"]],
    ],
    [
      { parallelism: { disable_loss_parallel: true } },
      "parallelism.disable_loss_parallel (true) does nothing with parallelism.tensor_parallel_degree 1; remove it",
      [["~parallelism.disable_loss_parallel"]],
    ],
  ],
});
