// Reads the config.json of a model folder, by the family that its model_type names. Weights and tokenizer are elsewhere.
import { existsSync } from "node:fs";
import { join } from "node:path";

import { otherModelFormat, readJsonObject, quantizationOf, UserError } from "../util/index.ts";
import { indexFileName, openModelWeights, singleFileName } from "../safetensors/index.ts";
import { ConfigReader, families, type Family, type ModelConfig, type TextTower } from "./families/index.ts";
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
  const config = parseModelConfig(readJsonObject(path), path);
  return config.tower === undefined ? config : { ...config, tower: towerIn(folder) ?? config.tower };
}

/** Where the folder's files have the language model; undefined where they have no embedding, or aren't there. */
function towerIn(folder: string): TextTower | undefined {
  if (![singleFileName, indexFileName].some((name) => existsSync(join(folder, name)))) return undefined;
  using source = openModelWeights(folder);
  const ends = "embed_tokens.weight";
  const found = source.names.filter((name) => name.endsWith(`.${ends}`));
  const [embedding] = found.toSorted((a, b) => Number(isOfText(b)) - Number(isOfText(a)));
  if (embedding === undefined) return undefined;
  const head = source.names.find((name) => name.endsWith("lm_head.weight")) ?? "lm_head.weight";
  return { prefix: embedding.slice(0, -ends.length), head: head.slice(0, -"weight".length) };
}

const isOfText = (name: string): boolean => name.includes("language_model") || name.includes("text_model");

/** Checks a parsed config.json. `where` names it in messages. */
export function parseModelConfig(json: Readonly<Record<string, unknown>>, where: string): ModelConfig {
  const reader = new ConfigReader(json, where);
  const quantized = quantizationOf(where, json);
  const type = json["model_type"];
  const family = families.find(({ modelType }) => modelType === type);
  if (family !== undefined) {
    const config = family.read(reader);
    return quantized === undefined ? config : { ...config, quantization: { format: "nf4", ...quantized } };
  }
  const inner = json["text_config"] as Readonly<Record<string, unknown>> | null | undefined;
  const ofText = families.find(({ modelType }) => modelType === inner?.["model_type"]);
  if (ofText !== undefined) return textModel(json, inner!, ofText, where);
  if (inner !== undefined || json["vision_config"] !== undefined || json["audio_config"] !== undefined) {
    const text = inner?.["model_type"];
    const made = typeof text === "string" ? ` (its text part is of the type ${text})` : "";
    reader.fail(
      `model_type: expected a language model, found ${JSON.stringify(type)}, which takes images or sound as well${made}. Use the language model that it was made of`,
    );
  }
  return refuseFamily(json, where);
}

/** The language model of one that takes images or sound as well. */
function textModel(
  json: Readonly<Record<string, unknown>>,
  inner: Readonly<Record<string, unknown>>,
  family: Family,
  where: string,
): ModelConfig {
  if ((quantizationOf(where, json) ?? quantizationOf(where, inner)) !== undefined)
    new ConfigReader(json, where).fail(
      "quantization_config: expected none in a model that takes images or sound, found nf4 by bitsandbytes. Use the model that it was made from",
    );
  // Whether embeddings are tied the whole says; Transformers passes it on.
  const tied = json["tie_word_embeddings"] ?? inner["tie_word_embeddings"];
  const own = { ...inner, ...(tied !== undefined && { tie_word_embeddings: tied }) };
  const config = family.read(new ConfigReader(own, where, "text_config."));
  return { ...config, tower: { prefix: "model.language_model.", head: "lm_head." } };
}

/** Keys of config.json that change what is trained in Transformers and nothing here, a sentence each. */
export function notHonoured(folder: string): string[] {
  const json = readJsonObject(join(folder, "config.json"));
  const dropouts = Object.keys(json).filter((key) => /dropout|_pdrop$|layerdrop/.test(key));
  const told = [...dropouts, "pretraining_tp", "label_smoothing", "z_loss_coefficient", "router_z_loss_coef"];
  const beyond = Number(json["num_nextn_predict_layers"] ?? 0);
  const beyondNote = `num_nextn_predict_layers is ${beyond} in config.json: layers that predict further tokens aren't trained, and exports lack them`;
  return [
    ...(beyond > 0 ? [beyondNote] : []),
    ...told.flatMap((key) => {
      const value = json[key];
      const without = key === "pretraining_tp" ? 1 : 0;
      if (typeof value !== "number" || value === without) return [];
      return [`${key} is ${value} in config.json, and isn't applied here: training goes on without it`];
    }),
  ];
}
