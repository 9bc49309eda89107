// The checkpoint section: loading, saving, resuming.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

export const checkpoint = section("Loading, saving and resuming.", {
  enable: key(z.boolean(), {
    default: true,
    doc: "Whether the run saves checkpoints and resumes from them. The initial weights are loaded in any case.",
  }),
  folder: key(z.string().min(1), {
    default: "checkpoint",
    doc: "Where checkpoints are saved, each in step-N. A relative folder lies in the run's own folder. If it holds a complete checkpoint, the run resumes from the latest.",
    advice: "Made if it is not there. Each checkpoint takes about three times the model in float32.",
  }),
  interval: key(z.int().min(1), {
    default: 500,
    doc: "Steps between two checkpoints. The last step always saves.",
    unit: "steps",
  }),
  initial_load_path: key(z.string().min(1).nullable(), {
    default: null,
    defaultNote: "null: the weights of model.hf_assets_path",
    doc: "Where the run starts from: a Hugging Face folder, or a step-N folder of torchforge, from which it resumes in full.",
  }),
  initial_load_in_hf: key(z.boolean(), {
    default: true,
    doc: "Whether the initial weights are in Hugging Face's form. false without initial_load_path starts from random weights.",
  }),
  last_save_in_hf: key(z.boolean(), {
    default: true,
    doc: "Whether the finished model is exported as a Hugging Face folder, which Transformers, vLLM and llama.cpp load as it is: step-N-hf beside the last checkpoint, or, with last_save_model_only, the last step-N itself.",
  }),
  last_save_model_only: key(z.boolean(), {
    default: false,
    doc: "Whether the last save holds the weights alone. Without what a resume needs, a finished run can't be trained further.",
    advice: "true saves disk space: a checkpoint to resume from takes about three times the model.",
  }),
  export_dtype: key(z.enum(["float32", "bfloat16", "float16"]), {
    default: "float32",
    doc: "Type of the exported weights.",
    advice: "bfloat16 halves the size.",
  }),
  export: key(
    z.array(
      z.enum([
        "gguf:F32",
        "gguf:F16",
        "gguf:BF16",
        "gguf:Q8_0",
        "gguf:Q6_K",
        "gguf:Q5_K_M",
        "gguf:Q4_K_M",
        "gguf:Q4_0",
      ]),
    ),
    {
      default: [],
      doc: "Files for other programs that are made of the exported model when the run is finished, in step-N-gguf: GGUF for llama.cpp and Ollama, a file of each type. Each is read again and compared with the model.",
      advice:
        "[gguf:Q4_K_M] is what most people run. `npx torchforge export MODEL --output-dir DIR` makes them later. Needs memory for the model once more.",
    },
  ),
  async_mode: key(z.enum(["disabled", "async", "async_with_pinned_mem"]), {
    default: "disabled",
    doc: "Whether training goes on while a checkpoint is written. The last save always waits.",
  }),
  keep_latest_k: key(z.int().min(0), {
    default: 10,
    doc: "How many checkpoints are kept; older ones are removed. 0 keeps all. 1 is refused: a broken save would leave none.",
    unit: "checkpoints",
  }),
  keep_best: key(z.boolean(), {
    default: false,
    doc: "Also keep the checkpoint with the lowest evaluation loss, however old it is. An evaluation that is better than all before it saves one, whatever checkpoint.interval says. Of several data sets it is the mean over the tokens of all.",
    advice: "Needs eval.datasets and eval.eval_every_n_steps.",
  }),
  load_step: key(z.int().min(-1), {
    default: -1,
    doc: "The step from which a run resumes. -1 is the latest complete one.",
    unit: "steps",
  }),
  exclude_from_loading: key(z.array(z.enum(["optimizer", "lr_scheduler", "dataloader", "train_state"])), {
    default: [],
    doc: "Parts of a checkpoint that a resume leaves aside.",
  }),
  strict_resume: key(z.boolean(), {
    default: false,
    doc: "Refuse to resume with a configuration that changes the numbers. false names in the first lines what has changed.",
  }),
  load_only: key(z.boolean(), {
    default: false,
    doc: "Load and resume, but save nothing.",
  }),
  enable_first_step_checkpoint: key(z.boolean(), {
    default: false,
    doc: "Save after the first step too, to find out early that saving works.",
  }),
  create_seed_checkpoint: key(z.boolean(), {
    default: false,
    doc: "Save the initial state as step-0 and end, in one process; runs on any mesh can then start from it.",
  }),
});
