// The parallelism section: how the work is divided among the processes.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

const degree = z.int().min(1);

export const parallelism = section(
  "How the work is divided. The product of the replicate, shard, context, tensor and pipeline degrees is the number of processes.",
  {
    data_parallel_replicate_degree: key(degree, {
      default: 1,
      doc: "Copies of the (sharded) model, each on other data.",
      unit: "ranks",
    }),
    data_parallel_shard_degree: key(degree.or(z.literal(-1)), {
      default: -1,
      doc: "Ranks over which parameters, gradients and optimizer state are sharded (FSDP). -1 takes what the other degrees leave.",
      unit: "ranks",
      advice: "-1 is right in most runs.",
    }),
    tensor_parallel_degree: key(degree, {
      default: 1,
      doc: "Ranks over which each layer's matrices are split.",
      unit: "ranks",
      advice: "For models that do not fit with sharding alone; keep it within one machine.",
    }),
    pipeline_parallel_degree: key(degree, {
      default: 1,
      doc: "Stages into which the layers are divided.",
      unit: "ranks",
      advice: "For models that do not fit on one machine.",
    }),
    context_parallel_degree: key(degree, {
      default: 1,
      doc: "Ranks over which each sequence is cut: each has a chunk of its head and one of its tail. Parameters are sharded over them, too.",
      unit: "ranks",
      advice: "For very long sequences.",
    }),
    expert_parallel_degree: key(degree, {
      default: 1,
      doc: "Ranks over which the experts of a mixture-of-experts model are divided. Taken from the shard and context ranks. It must divide the model's experts.",
      unit: "ranks",
    }),
    expert_tensor_parallel_degree: key(degree, {
      default: 1,
      doc: "Ranks over which each expert's matrices are split: 1 or tensor_parallel_degree. With 1 the expert degree is taken from the tensor ranks, too. It matters with expert parallelism alone: without it they are split as all others are.",
      unit: "ranks",
    }),
    disable_loss_parallel: key(z.boolean(), {
      default: false,
      doc: "Gather the logits before the loss under tensor parallelism, in place of a loss over vocabulary shards.",
    }),
    fsdp_reshard_after_forward: key(z.enum(["default", "always", "never"]), {
      default: "default",
      doc: "Whether parameters are freed after forward and gathered again in backward. default: always, but never with pipeline parallelism.",
      advice: "never is faster and takes more memory.",
    }),
    fsdp_reduce_gradients: key(z.enum(["auto", "every_pass", "once"]), {
      default: "auto",
      doc: "When the gradients of sharded parameters are reduced over the ranks: after every pass, so that no rank ever holds whole gradients, or once a step, after its last pass; until then each rank adds up its own, in the type of mixed_precision_reduce. auto: once with pipeline parallelism, whose stages run many passes a step, every_pass otherwise. The results differ by rounding alone.",
      advice:
        "`forge plan` shows what once sends and holds. every_pass where whole gradients of a rank's layers don't fit.",
    }),
    pipeline_parallel_schedule: key(z.enum(["1F1B", "Interleaved1F1B", "GPipe", "ZBVZeroBubble"]), {
      default: "1F1B",
      doc: "Order in which a pipeline stage runs its microbatches.",
    }),
    context_parallel_rotate_method: key(z.enum(["allgather", "alltoall"]), {
      default: "allgather",
      doc: "How keys and values travel between the ranks of a sequence. allgather: all to all ranks at once, kept for backward; alltoall: round a ring, a rank's at a time.",
      advice: "alltoall takes less memory and sends about twice as much.",
    }),
  },
);
