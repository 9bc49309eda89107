// Reads the config.json of a model folder, by the family that its model_type names. Weights and tokenizer are elsewhere.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { UserError } from "../util/index.ts";
import { ConfigReader, families, type ModelConfig } from "./families/index.ts";

/** Reads config.json of a model folder. */
export function readModelConfig(folder: string): ModelConfig {
  const path = join(folder, "config.json");
  if (!existsSync(path)) {
    throw new UserError(
      `model.hf_assets_path: expected a Hugging Face model folder with config.json, found none in ${folder}. ` +
        "`npx torchforge download ORG/NAME --output-dir DIR` makes one.",
      { exitCode: 2 },
    );
  }
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  } catch (error) {
    throw new UserError(`${path}: expected JSON: ${(error as Error).message}`, { cause: error, exitCode: 2 });
  }
  return parseModelConfig(json, path);
}

/** Checks a parsed config.json. `where` names it in messages. */
export function parseModelConfig(json: Readonly<Record<string, unknown>>, where: string): ModelConfig {
  const reader = new ConfigReader(json, where);
  const type = json["model_type"];
  const family = families.find(({ modelType }) => modelType === type);
  if (family !== undefined) return family.read(reader);
  const types = families.map(({ modelType }) => modelType).join(", ");
  const models = families.map((one) => one.models).join(", ");
  return reader.fail(`model_type: expected one of ${types} (${models}), found ${JSON.stringify(type)}`);
}
