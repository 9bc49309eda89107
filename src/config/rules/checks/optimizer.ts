// Updates: precision of the optimizer's state, and updates during backward.
import { type Check, when } from "./check.ts";

export const optimizerChecks: readonly Check[] = [
  {
    keys: ["optimizer.state_dtype", "optimizer.stochastic_rounding", "optimizer.implementation"],
    severity: "error",
    rule: "optimizer.state_dtype other than float32 and optimizer.stochastic_rounding need optimizer.implementation fused",
    run: ({ optimizer: o }) =>
      when(
        o.implementation !== "fused" && (o.state_dtype !== "float32" || o.stochastic_rounding),
        () =>
          `${o.state_dtype === "float32" ? "optimizer.stochastic_rounding (true)" : `optimizer.state_dtype (${o.state_dtype})`} needs optimizer.implementation fused, found ${o.implementation}: the others update with operators of libtorch, which round to the nearest alone`,
      ),
  },
  {
    keys: ["optimizer.stochastic_rounding", "training.dtype", "optimizer.state_dtype"],
    severity: "warning",
    rule: "optimizer.stochastic_rounding acts on bfloat16 weights and moments alone",
    run: ({ optimizer: o, training: t }) =>
      when(
        o.stochastic_rounding && t.dtype !== "bfloat16" && o.state_dtype !== "bfloat16",
        () =>
          `optimizer.stochastic_rounding (true) does nothing with training.dtype ${t.dtype} and optimizer.state_dtype ${o.state_dtype}: neither weights nor moments are bfloat16; remove it`,
      ),
  },
  {
    keys: [
      "optimizer.in_backward",
      "training.global_batch_size",
      "training.local_batch_size",
      "parallelism.pipeline_parallel_degree",
    ],
    severity: "error",
    rule: "optimizer.in_backward needs one micro-batch a step: no accumulation and no pipeline",
    run: ({ optimizer: o, training: t, parallelism: p }, { accumulationSteps }) =>
      !o.in_backward
        ? []
        : [
            ...when(
              accumulationSteps > 1,
              () =>
                `optimizer.in_backward (true) can't accumulate: training.global_batch_size (${t.global_batch_size}) with training.local_batch_size (${t.local_batch_size}) makes ${accumulationSteps} passes a step, and gradients would be kept between them; set training.global_batch_size to -1, or optimizer.in_backward to false`,
            ),
            ...when(
              p.pipeline_parallel_degree > 1,
              () =>
                `optimizer.in_backward (true) can't be used with parallelism.pipeline_parallel_degree (${p.pipeline_parallel_degree}): a stage adds up the gradients of several microbatches; set one of them back`,
            ),
          ],
  },
];
