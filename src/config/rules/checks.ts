// Checks over several keys. A failed check is an error or a warning whose text names every key that it looks at.
// A check runs only when all of its keys are valid by themselves.
import { isDeepStrictEqual } from "node:util";

import { leftForShard, resolveRun, type RunSpec } from "../run/run-spec.ts";
import { isTorchtitanDataset } from "../run/torchtitan-datasets.ts";
import { findKey, type Path } from "../schema/keys.ts";
import type { TorchforgeConfig } from "../schema/schema.ts";
import { adapter } from "../sections/adapter.ts";
import { datasetFields } from "../sections/dataset.ts";

export interface Check {
  /** The keys it looks at; the first is where the problem is reported. */
  keys: readonly string[];
  severity: "error" | "warning";
  /** What it demands, for explain and the docs. */
  rule: string;
  /** The texts of what is wrong; with a path where that is not the first key. */
  run(config: TorchforgeConfig, spec: RunSpec): (string | { path: Path; message: string })[];
}

const when = (wrong: boolean, message: () => string) => (wrong ? [message()] : []);

const degreeKeys = [
  "parallelism.data_parallel_replicate_degree",
  "parallelism.data_parallel_shard_degree",
  "parallelism.context_parallel_degree",
  "parallelism.tensor_parallel_degree",
  "parallelism.pipeline_parallel_degree",
] as const;

export const checks: readonly Check[] = [
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
    keys: ["model.flavor", "model.name"],
    severity: "error",
    rule: "model.flavor needs model.name",
    run: ({ model: m }) =>
      when(
        m.flavor !== null && m.name === null,
        () =>
          `model.flavor (${m.flavor}) needs model.name, the family whose sizes it is one of, e.g. llama3; leave both out, and config.json of model.hf_assets_path decides`,
      ),
  },
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
    keys: ["lr_scheduler.warmup_steps", "training.steps"],
    severity: "warning",
    rule: "lr_scheduler.warmup_steps should be at most training.steps; more is cut to it, as torchtitan does",
    run: ({ lr_scheduler: s }, { steps }) =>
      when(
        s.warmup_steps > steps,
        () =>
          `lr_scheduler.warmup_steps (${s.warmup_steps}) is more than training.steps (${steps}): the whole run is warm-up, cut to ${steps} steps; 5 to 10 % of training.steps is usual, here ${Math.max(1, Math.round(steps / 10))}`,
      ),
  },
  {
    keys: ["lr_scheduler.decay_ratio", "lr_scheduler.warmup_steps", "training.steps"],
    severity: "error",
    rule: "warm-up and decay together must fit into training.steps",
    run({ lr_scheduler: s }, { steps, schedule: { warmupSteps } }) {
      const decay = s.decay_ratio === null ? 0 : Math.round(steps * s.decay_ratio);
      return when(
        s.warmup_steps <= steps && decay + warmupSteps > steps,
        () =>
          `lr_scheduler.decay_ratio (${s.decay_ratio}, ${decay} steps) and lr_scheduler.warmup_steps (${s.warmup_steps}) take ${decay + warmupSteps} steps, more than training.steps (${steps}); lower one of them, or set lr_scheduler.decay_ratio to null to decay from the end of the warm-up on`,
      );
    },
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
    keys: ["eval.eval_every_n_steps", "eval.max_eval_steps", "eval.datasets"],
    severity: "error",
    rule: "the other keys of eval need eval.datasets",
    run: ({ eval: e }) =>
      (["eval_every_n_steps", "max_eval_steps"] as const)
        .filter((name) => e[name] !== null && e.datasets.length === 0)
        .map((name) => ({
          path: ["eval", name],
          message: `eval.${name} (${e[name]}) needs eval.datasets, which is empty; add e.g. {path: yahma/alpaca-cleaned, split: "train[95%:]"}`,
        })),
  },
  {
    keys: ["eval.datasets", "training.datasets", "training.dataset"],
    severity: "warning",
    rule: "evaluation data should not be training data",
    run: ({ eval: e }, { data }) =>
      e.datasets.flatMap((held, i) =>
        data.datasets.some((t) => t.path === held.path && t.subset === held.subset && t.split === held.split)
          ? [
              `eval.datasets[${i}] (${held.path}, split ${held.split}) is also training data (training.dataset or training.datasets): its loss says nothing about new rows; use splits such as train[:95%] and train[95%:]`,
            ]
          : [],
      ),
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
    keys: [
      "adapter.method",
      "adapter.initial_load_path",
      "adapter.rank",
      "adapter.alpha",
      "adapter.target_modules",
      "adapter.rank_pattern",
      "adapter.alpha_pattern",
      "adapter.modules_to_save",
      "adapter.layers",
      "adapter.dropout",
      "adapter.lora_plus_ratio",
      "adapter.init",
    ],
    severity: "error",
    rule: "the other keys of adapter need adapter.method, and adapter.initial_load_path says itself what kind of adapter it is",
    run({ adapter: a }) {
      const isOther = (name: keyof typeof a): boolean =>
        !isDeepStrictEqual(a[name], adapter.shape[name].parse(undefined));
      const kind = [
        "rank",
        "alpha",
        "target_modules",
        "rank_pattern",
        "alpha_pattern",
        "modules_to_save",
        "layers",
        "init",
      ] as const;
      const training = ["dropout", "lora_plus_ratio"] as const;
      if (a.initial_load_path !== null)
        return kind.filter(isOther).map((name) => ({
          path: ["adapter", name],
          message: `adapter.${name} (${JSON.stringify(a[name])}) is what the adapter_config.json of adapter.initial_load_path (${a.initial_load_path}) says; remove it`,
        }));
      if (a.method !== "none") return [];
      return [...kind, ...training].filter(isOther).map((name) => ({
        path: ["adapter", name],
        message: `adapter.${name} (${JSON.stringify(a[name])}) does nothing with adapter.method none; set that to lora, or remove it`,
      }));
    },
  },
  {
    keys: ["adapter.init", "adapter.rank", "adapter.rank_pattern"],
    severity: "error",
    rule: "adapter.init orthogonal needs even ranks",
    run({ adapter: a }) {
      const odd = [a.rank, ...Object.values(a.rank_pattern)].find((rank) => rank % 2 !== 0);
      return when(
        a.init === "orthogonal" && odd !== undefined,
        () =>
          `adapter.init (orthogonal) needs even ranks, and adapter.rank or adapter.rank_pattern has ${odd}; take an even one`,
      );
    },
  },
  {
    keys: ["adapter.method", "checkpoint.initial_load_in_hf", "checkpoint.initial_load_path"],
    severity: "error",
    rule: "an adapter needs the weights of a model: checkpoint.initial_load_in_hf or checkpoint.initial_load_path",
    run: ({ checkpoint: c }, { adapter: a }) =>
      when(
        a !== undefined && !c.initial_load_in_hf && c.initial_load_path === null,
        () =>
          `adapter.method (${a!.method}) adapts a trained model, and checkpoint.initial_load_in_hf (false) without checkpoint.initial_load_path starts from random weights; leave checkpoint.initial_load_in_hf out`,
      ),
  },
  {
    keys: ["checkpoint.keep_latest_k"],
    severity: "error",
    rule: "checkpoint.keep_latest_k must not be 1",
    run: ({ checkpoint: c }) =>
      when(
        c.keep_latest_k === 1,
        () =>
          "checkpoint.keep_latest_k: 1 is refused, because a save that fails would leave no checkpoint; use 2 or more, or 0 to keep all",
      ),
  },
  {
    keys: ["checkpoint.keep_best", "eval.eval_every_n_steps", "checkpoint.enable", "checkpoint.load_only"],
    severity: "error",
    rule: "checkpoint.keep_best needs evaluations during the run and checkpoints that are saved",
    run: ({ checkpoint: c, eval: e }) => [
      ...when(
        c.keep_best && e.eval_every_n_steps === null,
        () =>
          "checkpoint.keep_best (true) needs eval.eval_every_n_steps (null): without it the run is evaluated once, at its end; set it, e.g. to 100, beside eval.datasets",
      ),
      ...when(
        c.keep_best && (!c.enable || c.load_only),
        () =>
          `checkpoint.keep_best (true) keeps a checkpoint, but ${c.enable ? "checkpoint.load_only (true)" : "checkpoint.enable (false)"} forbids saving; change one of them`,
      ),
    ],
  },
  {
    keys: ["checkpoint.export_dtype", "checkpoint.last_save_in_hf", "checkpoint.last_save_model_only"],
    severity: "error",
    rule: "checkpoint.export_dtype other than float32 needs an export: checkpoint.last_save_in_hf or last_save_model_only",
    run: ({ checkpoint: c }) =>
      when(
        c.export_dtype !== "float32" && !c.last_save_in_hf && !c.last_save_model_only,
        () =>
          `checkpoint.export_dtype (${c.export_dtype}) needs checkpoint.last_save_in_hf or checkpoint.last_save_model_only (both false): a checkpoint to resume from keeps the full precision; set one of them to true`,
      ),
  },
  {
    keys: ["checkpoint.load_step", "checkpoint.enable"],
    severity: "error",
    rule: "checkpoint.load_step needs checkpoint.enable",
    run: ({ checkpoint: c }) =>
      when(
        c.load_step !== -1 && !c.enable,
        () =>
          `checkpoint.load_step (${c.load_step}) needs checkpoint.enable (false), without which nothing is resumed; set it to true`,
      ),
  },
  {
    keys: ["checkpoint.load_step", "training.steps"],
    severity: "error",
    rule: "checkpoint.load_step must be less than training.steps",
    run: ({ checkpoint: c }, { steps }) =>
      when(
        c.load_step >= steps,
        () =>
          `checkpoint.load_step (${c.load_step}) must be less than training.steps (${steps}), or there is nothing left to train; raise training.steps`,
      ),
  },
  {
    keys: [
      "checkpoint.load_only",
      "checkpoint.enable_first_step_checkpoint",
      "checkpoint.create_seed_checkpoint",
      "checkpoint.enable",
    ],
    severity: "error",
    rule: "checkpoint.enable_first_step_checkpoint and create_seed_checkpoint save, and checkpoint.enable or load_only must allow it",
    run: ({ checkpoint: c }) =>
      (["enable_first_step_checkpoint", "create_seed_checkpoint"] as const)
        .filter((name) => c[name] && (!c.enable || c.load_only))
        .map((name) => ({
          path: ["checkpoint", name],
          message: `checkpoint.${name} (true) saves a checkpoint, but ${c.enable ? "checkpoint.load_only (true)" : "checkpoint.enable (false)"} forbids saving; change one of them`,
        })),
  },
  {
    keys: ["checkpoint.create_seed_checkpoint", "processes.procs"],
    severity: "error",
    rule: "checkpoint.create_seed_checkpoint needs one process",
    run: ({ checkpoint: c, processes: p }) =>
      when(
        c.create_seed_checkpoint && p.procs !== 1,
        () =>
          `checkpoint.create_seed_checkpoint (true) needs processes.procs: 1, found ${p.procs}; make the seed checkpoint in one process and start the run from it`,
      ),
  },
  {
    keys: ["checkpoint.initial_load_in_hf", "checkpoint.initial_load_path"],
    severity: "warning",
    rule: "without Hugging Face weights and without checkpoint.initial_load_path a run starts from random weights",
    run: ({ checkpoint: c }) =>
      when(
        !c.initial_load_in_hf && c.initial_load_path === null,
        () =>
          "checkpoint.initial_load_in_hf is false and checkpoint.initial_load_path is null: the run starts from random weights",
      ),
  },
  {
    keys: ["activation_checkpoint.selective_ac_option", "activation_checkpoint.mode"],
    severity: "warning",
    rule: "activation_checkpoint.selective_ac_option acts with mode selective alone",
    run: ({ activation_checkpoint: a }) =>
      when(
        a.mode !== "selective" && a.selective_ac_option !== "op",
        () =>
          `activation_checkpoint.selective_ac_option (${a.selective_ac_option}) does nothing with activation_checkpoint.mode ${a.mode}; set the mode to selective, or remove the option`,
      ),
  },
  {
    keys: ["comm.backend", "processes.with_gpus"],
    severity: "error",
    rule: "comm.backend nccl needs processes.with_gpus",
    run: ({ comm: c, processes: p }) =>
      when(
        c.backend === "nccl" && !p.with_gpus,
        () =>
          "comm.backend (nccl) needs processes.with_gpus (false): NCCL moves tensors of GPUs alone; set it to auto or gloo",
      ),
  },
  {
    keys: ["comm.save_traces_folder", "comm.trace_buf_size", "processes.procs"],
    severity: "warning",
    rule: "traces are written with comm.trace_buf_size above 0 and several processes",
    run: ({ comm: c, processes: p }) => [
      ...when(
        c.save_traces_folder !== "comm_traces" && c.trace_buf_size === 0,
        () =>
          `comm.save_traces_folder (${c.save_traces_folder}) does nothing with comm.trace_buf_size 0; set that to 2000, or remove the folder`,
      ),
      ...when(
        c.trace_buf_size > 0 && p.procs === 1,
        () =>
          `comm.trace_buf_size (${c.trace_buf_size}) does nothing with processes.procs 1: one process calls no other`,
      ),
    ],
  },
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

/** Runs the checks of one severity, leaving out those that look at a key for which `isBad` holds. */
export function runChecks(
  config: TorchforgeConfig,
  severity: Check["severity"],
  isBad: (key: string) => boolean = () => false,
  steps?: number,
): { path: Path; message: string }[] {
  const spec = resolveRun(config, steps);
  return checks
    .filter((check) => check.severity === severity && !check.keys.some(isBad))
    .flatMap((check) =>
      check
        .run(config, spec)
        .map((found) =>
          typeof found === "string" ? { path: check.keys[0]!.split("."), message: found } : found,
        ),
    );
}
