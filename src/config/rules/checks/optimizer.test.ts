import { optimizerChecks } from "./optimizer.ts";
import { tryChecks } from "./testing.ts";

tryChecks(optimizerChecks, {
  refused: [
    [
      { optimizer: { state_dtype: "int8", implementation: "foreach" } },
      "optimizer.state_dtype (int8) needs optimizer.implementation fused, found foreach: the others update with operators of libtorch, which round to the nearest alone",
      [["optimizer.implementation=fused"]],
    ],
    [
      {
        optimizer: { stochastic_rounding: true, implementation: "for-loop" },
        training: { dtype: "bfloat16" },
      },
      "optimizer.stochastic_rounding (true) needs optimizer.implementation fused, found for-loop: the others update with operators of libtorch, which round to the nearest alone",
      [["optimizer.implementation=fused"]],
    ],
    [
      { optimizer: { in_backward: true }, training: { local_batch_size: 2, global_batch_size: 8 } },
      "optimizer.in_backward (true) can't accumulate: training.global_batch_size (8) with training.local_batch_size (2) makes 4 passes a step, and gradients would be kept between them; set training.global_batch_size to -1, or optimizer.in_backward to false",
      [["training.global_batch_size=-1"], ["optimizer.in_backward=false"]],
    ],
    [
      {
        optimizer: { in_backward: true },
        processes: { procs: 2 },
        parallelism: { pipeline_parallel_degree: 2 },
        training: { local_batch_size: 4 },
      },
      "optimizer.in_backward (true) can't be used with parallelism.pipeline_parallel_degree (2): a stage adds up the gradients of several microbatches; set one of them back",
      [["parallelism.pipeline_parallel_degree=1"], ["optimizer.in_backward=false"]],
    ],
  ],
  warned: [
    [
      { optimizer: { stochastic_rounding: true } },
      "optimizer.stochastic_rounding (true) does nothing with training.dtype float32 and optimizer.state_dtype float32: neither weights nor moments are bfloat16; remove it",
      [["~optimizer.stochastic_rounding"], ["training.dtype=bfloat16"], ["optimizer.state_dtype=bfloat16"]],
    ],
  ],
});
