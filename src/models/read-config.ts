// Reads the config.json of a model folder, by the family that its model_type names. Weights and tokenizer are elsewhere.
import { existsSync } from "node:fs";
import { join } from "node:path";

import { otherModelFormat, readJsonObject, refuseQuantized, UserError } from "../util/index.ts";
import { ConfigReader, families, type ModelConfig } from "./families/index.ts";
import { refuseFamily } from "./unknown-family.ts";

/** Reads config.json of a model folder. */
export function readModelConfig(folder: string): ModelConfig {
  const path = join(folder, "config.json");
  if (!existsSync(path)) {
    throw new UserError(
      `model.hf_assets_path: expected a Hugging Face model folder with config.json, found none in ${folder}.` +
        (otherModelFormat(folder) || " `npx torchforge download ORG/NAME --output-dir DIR` makes one."),
      { exitCode: 2 },
    );
  }
  return parseModelConfig(readJsonObject(path), path);
}

/** Checks a parsed config.json. `where` names it in messages. */
export function parseModelConfig(json: Readonly<Record<string, unknown>>, where: string): ModelConfig {
  const reader = new ConfigReader(json, where);
  refuseQuantized(where, json);
  const type = json["model_type"];
  const family = families.find(({ modelType }) => modelType === type);
  if (family !== undefined) return family.read(reader);
  const inner = json["text_config"];
  if (inner !== undefined || json["vision_config"] !== undefined || json["audio_config"] !== undefined) {
    const text = (inner as { model_type?: unknown } | null | undefined)?.model_type;
    const made = typeof text === "string" ? ` (its text part is of the type ${text})` : "";
    reader.fail(
      `model_type: expected a language model, found ${JSON.stringify(type)}, which takes images or sound as well${made}. Use the language model that it was made of`,
    );
  }
  return refuseFamily(json, where);
}

/** Keys of config.json that change what is trained in Transformers and nothing here, a sentence each. */
export function notHonoured(folder: string): string[] {
  const json = readJsonObject(join(folder, "config.json"));
  const dropouts = Object.keys(json).filter((key) => /dropout|_pdrop$|layerdrop/.test(key));
  const told = [...dropouts, "pretraining_tp", "label_smoothing", "z_loss_coefficient", "router_z_loss_coef"];
  return told.flatMap((key) => {
    const value = json[key];
    const without = key === "pretraining_tp" ? 1 : 0;
    if (typeof value !== "number" || value === without) return [];
    return [`${key} is ${value} in config.json, and isn't applied here: training goes on without it`];
  });
}
