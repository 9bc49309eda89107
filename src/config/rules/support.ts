// What the schema knows and torchforge can't do yet, and keys of torchtitan and the Python original that we don't have.
// Both are refused by name with what to use instead; nothing is accepted and ignored.
// To make a key work: implement it, and delete its entry here.
import { show } from "../schema/describe.ts";
import { pathText, type Path } from "../schema/keys.ts";
import type { Problem } from "./problems.ts";
import type { TorchforgeConfig } from "../schema/schema.ts";

/** A key with a value that is not supported yet. */
interface Unsupported {
  key: string;
  value: (config: TorchforgeConfig) => unknown;
  /** Whether the value is refused. A key's default must always pass. */
  refuses: (value: unknown) => boolean;
  instead: string;
}

const not =
  (...allowed: unknown[]) =>
  (value: unknown) =>
    !allowed.includes(value);

export const unsupported: readonly Unsupported[] = [
  {
    key: "training.compile",
    value: (c) => c.training.compile,
    refuses: not(false),
    instead: "use false; fused operators are used in any case",
  },
];

/** The keys of a valid configuration whose values are not supported yet. */
export function supportProblems(config: TorchforgeConfig): Problem[] {
  const problems: Problem[] = [];
  for (const { key, value, refuses, instead } of unsupported) {
    const found = value(config);
    if (!refuses(found)) continue;
    const shown = typeof found === "string" ? found : show(found);
    problems.push({ path: key.split("."), message: `${key}: ${shown} is not supported yet; ${instead}` });
  }
  return problems;
}

/** Keys of torchtitan and the Python original that have another home here, or none; a section stands for all its keys. */
const foreign: Readonly<Record<string, string>> = {
  "job.config_file": "give the file to the command: forge sft --config FILE",
  "job.print_config": "use the command's flag: forge sft --print-config",
  "job.print_args": "use the command's flag: forge sft --print-config",
  "model.tokenizer_path": "model.hf_assets_path is the folder of the tokenizer too",
  "model.converters": "use training.dtype and training.mixed_precision_param for precision",
  "training.dataset_path": "give the path as training.dataset, or as path in training.datasets",
  "training.gradient_accumulation_steps": "give training.global_batch_size, from which it follows",
  "optimizer.early_step_in_backward": "use optimizer.in_backward",
  "parallelism.enable_async_tensor_parallel": "leave it out",
  "parallelism.pipeline_parallel_microbatch_size": "leave it out; a microbatch is one sequence",
  "metric_logging.wandb":
    "use metric_logging.tensorboard, whose event files Weights & Biases can sync (wandb sync)",
  metrics: "use metric_logging",
  validation: "use eval",
  profiling: "leave it out",
  compile: "leave it out; fused operators are used in any case",
  float8: "use training.mixed_precision_param: bfloat16",
  mx: "use training.mixed_precision_param: bfloat16",
  quantize: "use training.mixed_precision_param: bfloat16",
  fault_tolerance: "leave it out",
  lora: "use adapter, with adapter.method: lora",
  peft: "use adapter, with adapter.method: lora",
};

/** The refusal of a key that is known from elsewhere; undefined for any other. */
export function foreignKeyMessage(path: Path): string | undefined {
  const name = pathText(path);
  for (const [key, instead] of Object.entries(foreign)) {
    if (name === key || name.startsWith(`${key}.`)) return `${key} is not supported; ${instead}`;
  }
  return undefined;
}
