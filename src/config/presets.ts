// The guide's four scenarios as code: each takes your own sections and puts the scenario's values under them.
// Plain data, to be given to Config.create. recipes/ holds the same as YAML, and a test holds the two together.
import type { ConfigInput } from "./schema/schema.ts";
import { merge } from "./values/tree.ts";

/** Name, purpose and values of a scenario. */
export interface Preset {
  name: string;
  /** The recipe in recipes/ with the same values. */
  recipe: string;
  summary: string;
  values: ConfigInput;
}

/** The scenarios by name. */
export const presetTable = {
  quickTest: {
    name: "quickTest",
    recipe: "quick_test.yaml",
    summary: "100 short steps on one GPU, to see that everything works",
    values: {
      processes: { procs: 1, with_gpus: true },
      training: { local_batch_size: 1, seq_len: 1024, steps: 100 },
    },
  },
  fullTraining: {
    name: "fullTraining",
    recipe: "full_training.yaml",
    summary: "5000 steps on eight GPUs, parameters sharded over all of them",
    values: {
      processes: { procs: 8, with_gpus: true },
      training: { local_batch_size: 2, seq_len: 2048, steps: 5000 },
      parallelism: { data_parallel_shard_degree: -1 },
    },
  },
  memoryConstrained: {
    name: "memoryConstrained",
    recipe: "memory_constrained.yaml",
    summary: "small batch, short sequences and activation checkpointing, where memory runs out",
    values: {
      training: { local_batch_size: 1, seq_len: 1024 },
      activation_checkpoint: { mode: "selective", selective_ac_option: "op" },
    },
  },
  resume: {
    name: "resume",
    recipe: "resume.yaml",
    summary:
      "go on from a saved checkpoint (give checkpoint.folder, and checkpoint.initial_load_path for a certain step)",
    values: {
      checkpoint: { enable: true, interval: 500 },
    },
  },
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof presetTable;

function preset(name: PresetName): (sections: ConfigInput) => ConfigInput {
  return (sections) => merge(presetTable[name].values, { ...sections });
}

/**
 * The scenarios as functions: `Config.create(presets.quickTest({ model: { hf_assets_path: "…" } }))`.
 * What you give wins over the scenario; nothing that you give is changed.
 *
 * @example
 * ```ts
 * import { Config, presets } from "torchforge/config";
 *
 * const sections = { model: { hf_assets_path: "./model" }, training: { dataset: "rows.jsonl" } };
 * console.log(Config.create(presets.quickTest(sections)).training.steps);
 * ```
 */
export const presets: Readonly<Record<PresetName, (sections: ConfigInput) => ConfigInput>> = {
  /** 1 GPU, 100 steps of 1024 tokens. */
  quickTest: preset("quickTest"),
  /** 8 GPUs, 5000 steps of 2 × 2048 tokens, sharded. */
  fullTraining: preset("fullTraining"),
  /** Batch 1, 1024 tokens, selective activation checkpointing. */
  memoryConstrained: preset("memoryConstrained"),
  /** Resume from a checkpoint. */
  resume: preset("resume"),
};
