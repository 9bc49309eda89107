// The adapter section: low-rank adapters of a frozen model. Its words are PEFT's (peft.LoraConfig), without their prefixes.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

const numbers = z.record(z.string(), z.int().min(1));

export const adapter = section("Training a small adapter of the model instead of the model itself.", {
  method: key(z.enum(["none", "lora", "rslora", "dora"]), {
    default: "none",
    doc: "The kind of adapter: lora (low-rank updates of matrices), rslora (the same, scaled by alpha / √rank), dora (which also learns the rows' lengths); none trains the model itself.",
    advice: "lora. Learning rates are about ten times those of training the whole model: 1e-4 to 3e-4.",
  }),
  rank: key(z.int().min(1), {
    default: 16,
    doc: "Rank of the updates (PEFT: r).",
    advice: "8 to 64. More learns more, and costs memory and time.",
  }),
  alpha: key(z.number().positive(), {
    default: 32,
    doc: "An update is multiplied by alpha / rank, with rslora by alpha / √rank (PEFT: lora_alpha).",
  }),
  dropout: key(z.number().min(0).lt(1), {
    default: 0,
    doc: "Probability with which an element of an adapter's input is dropped in training (PEFT: lora_dropout).",
  }),
  target_modules: key(z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]), {
    default: "all-linear",
    doc: "The layers that get an adapter: all-linear, every linear layer but the head; a list of names or last parts of names, e.g. [q_proj, v_proj]; or a regular expression of whole names.",
  }),
  rank_pattern: key(numbers, {
    default: {},
    doc: "Other ranks of some layers, by regular expressions of the last parts of their names, e.g. {down_proj: 8}.",
  }),
  alpha_pattern: key(z.record(z.string(), z.number().positive()), {
    default: {},
    doc: "Other alphas of some layers, as rank_pattern.",
  }),
  modules_to_save: key(z.array(z.string().min(1)), {
    default: [],
    doc: "Modules that are trained themselves and kept with the adapter, by how their names end: lm_head, embed_tokens, model.norm (the last one), norm (all of them).",
  }),
  layers: key(
    z
      .string()
      .regex(
        /^-?\d+$|^(-?\d+)?:(-?\d+)?$/,
        'a range of layers such as 8:16, -4: or :8, or one layer, e.g. "3"',
      )
      .nullable(),
    {
      default: null,
      doc: "The decoder layers that get adapters: a range as Python writes it, from the first up to but not including the last: 8:16, :8, or -4: for the last four. null: all.",
    },
  ),
  init: key(z.enum(["default", "orthogonal"]), {
    default: "default",
    doc: "How an adapter begins: default draws lora_A as PyTorch draws a linear layer, and lora_B is zero; orthogonal draws both so that their product is zero. Ranks must be even for it.",
  }),
  bias: key(z.enum(["none"]), {
    default: "none",
    doc: "Which biases of the model are trained: none.",
  }),
  lora_plus_ratio: key(z.number().min(1), {
    default: 1,
    doc: "The learning rate of lora_B and of DoRA's magnitudes is this many times that of lora_A (LoRA+).",
    advice: "2 to 16; then lower optimizer.lr.",
  }),
  initial_load_path: key(z.string().min(1).nullable(), {
    default: null,
    doc: "An adapter that the run starts from: a folder with adapter_config.json, as PEFT and torchforge write it. The file says what kind of adapter it is; of this section only method (lora stands for any), dropout and lora_plus_ratio may be given beside it. eval, generate and chat answer with it.",
  }),
});
