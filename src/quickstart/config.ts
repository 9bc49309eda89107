// The quickstart's configuration: small enough for a CPU, large enough to show that the model has learned.
import { Config } from "../config/index.ts";
import { quickstartData } from "./data.ts";

export interface QuickstartOptions {
  /** A model folder. */
  readonly model: string;
  readonly steps: number;
  /** Whether an adapter is trained, and the model itself stays as it is. Default false. */
  readonly lora?: boolean | undefined;
  /** Parent of the run folder. */
  readonly outputFolder: string;
}

export function quickstartConfig({ model, steps, lora = false, outputFolder }: QuickstartOptions): Config {
  const dataset = (path: string) => ({ path, split: "train", format: "instruction" as const });
  return Config.create({
    job: { dump_folder: outputFolder, description: "quickstart" },
    model: { hf_assets_path: model },
    adapter: lora ? { method: "lora", rank: 16, alpha: 32 } : {},
    optimizer: { lr: lora ? 2e-3 : 3e-4, weight_decay: 0 },
    lr_scheduler: { warmup_steps: Math.min(6, steps), decay_type: "cosine", min_lr_factor: 0.05 },
    training: {
      local_batch_size: 2,
      seq_len: 256,
      steps,
      datasets: [dataset(quickstartData.train)],
      seed: 1,
    },
    checkpoint: {
      interval: 100_000,
      last_save_model_only: true,
      export_dtype: lora ? "float32" : "bfloat16",
    },
    eval: { datasets: [dataset(quickstartData.heldout)] },
  });
}
