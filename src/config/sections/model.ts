// The model section: which checkpoint is trained.
import { z } from "zod";

import { key, requiredKey, section } from "../schema/key.ts";

export const model = section("Which model is trained.", {
  name: key(z.string().min(1).nullable(), {
    default: null,
    doc: "Architecture family, e.g. llama3, llama2, mistral, mixtral, qwen2, qwen3, qwen3_moe, smollm2. null takes it from config.json of model.hf_assets_path.",
    advice: "config.json decides; a family given here that disagrees with it is an error.",
  }),
  flavor: key(z.string().min(1).nullable(), {
    default: null,
    doc: "Size within the family, e.g. 8B, 70B, 405B, 135M, debugmodel. null takes it from config.json of model.hf_assets_path.",
    advice: "config.json decides; a flavor given here that disagrees with it is an error.",
  }),
  hf_assets_path: requiredKey(z.string().min(1), {
    doc: "The model: a folder with config.json, tokenizer.json, tokenizer_config.json and safetensors weights, or hf://org/name for a model of the Hugging Face hub.",
    advice: "`forge download org/name --output-dir DIR` makes such a folder.",
  }),
  chat_template: key(z.string().min(1).nullable(), {
    default: null,
    doc: "The chat template: one of the model's by its name (default, tool_use …), a file, or a template's text. null takes the model's own: for rows with tools its tool_use, where it has one. The trained model keeps it.",
    advice: "`forge data preview` shows the text that it makes.",
  }),
});
