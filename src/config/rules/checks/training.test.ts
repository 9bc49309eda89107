import { trainingChecks } from "./training.ts";
import { tryChecks } from "./testing.ts";

tryChecks(trainingChecks, {
  refused: [
    [
      { processes: { procs: 4 }, training: { local_batch_size: 2, global_batch_size: 12 } },
      "training.global_batch_size (12) must be a multiple of training.local_batch_size (2) × parallelism.data_parallel_replicate_degree (1) × parallelism.data_parallel_shard_degree (4) = 8; the quotient is the number of accumulation steps",
      [["training.global_batch_size=16"]],
    ],
    [
      { processes: { procs: 4 }, parallelism: { context_parallel_degree: 4 }, training: { seq_len: 2044 } },
      "training.seq_len (2044) must be a multiple of parallelism.tensor_parallel_degree (1) × 2 × parallelism.context_parallel_degree (4) = 8; the nearest is 2048",
      [["training.seq_len=2048"]],
    ],
    [
      { processes: { procs: 4 }, parallelism: { tensor_parallel_degree: 4 }, training: { seq_len: 30 } },
      "training.seq_len (30) must be a multiple of parallelism.tensor_parallel_degree (4) × parallelism.context_parallel_degree (1) = 4; the nearest is 32",
      [["training.seq_len=32"]],
    ],
    [
      { training: { dataset: "a.jsonl", datasets: [{ path: "b.jsonl" }] } },
      "training.dataset (a.jsonl) and training.datasets (1 entries) are both given; move the first into the list as {path: a.jsonl}, or remove one (on the command line: ~training.datasets)",
      [
        ["~training.dataset", "training.datasets=[{path: a.jsonl}, {path: b.jsonl}]"],
        ["~training.datasets"],
        ["~training.dataset"],
      ],
    ],
    [
      { training: { on_overlong: "split", packed: false } },
      "training.on_overlong (split) needs training.packed (false): rows that follow each other share sequences; set it to true, or training.on_overlong to truncate",
      [["training.packed=true"], ["training.on_overlong=truncate"]],
    ],
    [
      { training: { datasets: [{ path: "c4" }, { path: "a.jsonl" }] } },
      "training.stream reads one data set, and training.datasets has 2 entries; name one, or leave streaming out (c4, c4_test and c4_validation are always streamed)",
      [["training.datasets=[{path: c4}]"], ["training.datasets=[{path: a.jsonl}, {path: b.jsonl}]"]],
    ],
    [
      { training: { datasets: [{ path: "a", format: "alpaca", columns: { prompt: "q" } }] } },
      "training.datasets[0].columns.prompt is not a field of training.datasets[0].format alpaca; its fields: instruction, input, output, system, history, tools",
      [["~training.datasets.0.columns", "training.datasets.0.columns.instruction=q"]],
    ],
    [
      { training: { dataset: "rows.jsonl", stream: true, epochs: 3 } },
      "training.epochs (3) needs to know how many rows the data has, and training.stream reads it as it comes; give training.steps in its place",
      [["~training.epochs", "training.steps=30"]],
    ],
    [
      { training: { enable_cpu_offload: true } },
      "training.enable_cpu_offload (true) needs processes.with_gpus (false): on a CPU everything is in CPU memory already; remove it",
      [["~training.enable_cpu_offload"], ["processes.with_gpus=true"]],
    ],
    [
      {
        training: {
          message_transform: "./rows.ts#toMessages",
          datasets: [{ path: "a.jsonl", format: "alpaca" }],
        },
      },
      "training.message_transform (./rows.ts#toMessages) gets rows as they are, so training.datasets[0] takes no format (alpaca); remove one of them",
      [["~training.message_transform"], ["~training.datasets.0.format"]],
    ],
    [
      { training: { trainable: ["lm_head"] }, adapter: { method: "lora" } },
      "training.trainable (lm_head) freezes the model, which adapter.method (lora) does anyway; name what is to be trained beside the adapter in adapter.modules_to_save, and remove training.trainable",
      [["~training.trainable", "adapter.modules_to_save=[lm_head]"]],
    ],
  ],
  warned: [
    [
      { training: { steps: 50, epochs: 2 } },
      "training.steps (50) is not used beside training.epochs (2), which says how long the run is; ~training.epochs takes that back",
      [["~training.epochs"], ["~training.steps"]],
    ],
  ],
});
