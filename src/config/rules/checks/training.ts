// Batches, sequences and training data, and what of the model is trained.
import { type Check, degreeKeys, when } from "./check.ts";
import { isTorchtitanDataset } from "../../run/torchtitan-datasets.ts";
import { findKey } from "../../schema/keys.ts";
import { datasetFields } from "../../sections/dataset.ts";

export const trainingChecks: readonly Check[] = [
  {
    keys: ["training.global_batch_size", "training.local_batch_size", ...degreeKeys, "processes.procs"],
    severity: "error",
    rule: "training.global_batch_size must be a multiple of training.local_batch_size × replicate × shard degree",
    run({ training: t }, { degrees, dataParallelSize }) {
      const perPass = t.local_batch_size * dataParallelSize;
      return when(
        t.global_batch_size !== -1 && perPass > 0 && t.global_batch_size % perPass !== 0,
        () =>
          `training.global_batch_size (${t.global_batch_size}) must be a multiple of training.local_batch_size (${t.local_batch_size}) × parallelism.data_parallel_replicate_degree (${degrees.replicate}) × parallelism.data_parallel_shard_degree (${degrees.shard}) = ${perPass}; the quotient is the number of accumulation steps`,
      );
    },
  },
  {
    keys: ["training.seq_len", "parallelism.tensor_parallel_degree", "parallelism.context_parallel_degree"],
    severity: "error",
    rule: "training.seq_len must be a multiple of the tensor degree × 2 × the context degree (without the 2 where the context degree is 1)",
    run({ training: t, parallelism: p }) {
      const context = p.context_parallel_degree;
      const divisor = p.tensor_parallel_degree * (context > 1 ? 2 * context : 1);
      return when(
        t.seq_len % divisor !== 0,
        () =>
          `training.seq_len (${t.seq_len}) must be a multiple of parallelism.tensor_parallel_degree (${p.tensor_parallel_degree}) × ${context > 1 ? "2 × " : ""}parallelism.context_parallel_degree (${context}) = ${divisor}; the nearest is ${Math.max(1, Math.round(t.seq_len / divisor)) * divisor}`,
      );
    },
  },
  {
    keys: ["training.epochs", "training.steps"],
    severity: "warning",
    rule: "training.epochs says how long a run is, whatever training.steps is",
    run: ({ training: t }, { steps }) =>
      when(
        steps === Infinity && t.steps !== findKey("training.steps")?.default,
        () =>
          `training.steps (${t.steps}) is not used beside training.epochs (${t.epochs}), which says how long the run is; ~training.epochs takes that back`,
      ),
  },
  {
    keys: ["training.epochs", "training.stream", "training.dataset", "training.datasets"],
    severity: "error",
    rule: "training.epochs needs data that is counted: no stream",
    run: ({ training: t }, { data }) =>
      when(t.epochs !== null && data.datasets.some(({ stream }) => stream), () => {
        const why = t.stream ? "training.stream reads it" : `${data.datasets[0]!.path} is read`;
        return `training.epochs (${t.epochs}) needs to know how many rows the data has, and ${why} as it comes; give training.steps in its place`;
      }),
  },
  {
    keys: ["training.dataset", "training.datasets"],
    severity: "error",
    rule: "the training data is named by training.dataset or by training.datasets, not by both",
    run: ({ training: t }) =>
      when(
        t.dataset !== null && t.datasets.length > 0,
        () =>
          `training.dataset (${t.dataset}) and training.datasets (${t.datasets.length} entries) are both given; move the first into the list as {path: ${t.dataset}}, or remove one (on the command line: ~training.datasets)`,
      ),
  },
  {
    keys: ["training.on_overlong", "training.packed"],
    severity: "error",
    rule: "training.on_overlong split needs training.packed",
    run: ({ training: t }) =>
      when(
        t.on_overlong === "split" && !t.packed,
        () =>
          "training.on_overlong (split) needs training.packed (false): rows that follow each other share sequences; set it to true, or training.on_overlong to truncate",
      ),
  },
  {
    keys: ["training.message_transform", "training.datasets"],
    severity: "error",
    rule: "training.message_transform takes the rows as they are: no format and no columns beside it",
    run: ({ training: t }) =>
      t.message_transform === null
        ? []
        : t.datasets.flatMap(({ format, columns }, i) =>
            when(
              format !== "auto" || Object.keys(columns).length > 0,
              () =>
                `training.message_transform (${t.message_transform}) gets rows as they are, so training.datasets[${i}] takes no ${format === "auto" ? "columns" : `format (${format})`}; remove one of them`,
            ),
          ),
  },
  {
    keys: ["training.stream", "training.datasets"],
    severity: "error",
    rule: "training.stream takes one data set",
    run: ({ training: t }) =>
      when(
        (t.stream || t.datasets.some(({ path }) => isTorchtitanDataset(path))) && t.datasets.length > 1,
        () =>
          `training.stream reads one data set, and training.datasets has ${t.datasets.length} entries; name one, or leave streaming out (c4, c4_test and c4_validation are always streamed)`,
      ),
  },
  {
    keys: ["training.datasets", "eval.datasets"],
    severity: "error",
    rule: "columns may rename only the fields of the data set's format",
    run(config) {
      const lists = { training: config.training.datasets, eval: config.eval.datasets };
      return Object.entries(lists).flatMap(([section, list]) =>
        list.flatMap(({ format, columns }, i) => {
          const fields: readonly string[] =
            format === "auto" ? Object.values(datasetFields).flat() : datasetFields[format];
          return Object.keys(columns)
            .filter((field) => !fields.includes(field))
            .map((field) => ({
              path: [section, "datasets", i, "columns", field],
              message: `${section}.datasets[${i}].columns.${field} is not a field of ${section}.datasets[${i}].format ${format}; its fields: ${fields.join(", ")}`,
            }));
        }),
      );
    },
  },
  {
    keys: ["training.trainable", "adapter.method", "adapter.initial_load_path"],
    severity: "error",
    rule: "training.trainable is for training without an adapter",
    run: ({ training: t }, { adapter }) =>
      when(
        t.trainable.length > 0 && adapter !== undefined,
        () =>
          `training.trainable (${t.trainable.join(", ")}) freezes the model, which adapter.method (${adapter!.method}) does anyway; name what is to be trained beside the adapter in adapter.modules_to_save, and remove training.trainable`,
      ),
  },
  {
    keys: ["training.enable_cpu_offload", "processes.with_gpus"],
    severity: "error",
    rule: "training.enable_cpu_offload needs processes.with_gpus",
    run: ({ training: t, processes: p }) =>
      when(
        t.enable_cpu_offload && !p.with_gpus,
        () =>
          "training.enable_cpu_offload (true) needs processes.with_gpus (false): on a CPU everything is in CPU memory already; remove it",
      ),
  },
];
