// Folders and files that people take for a model of Hugging Face's layout: adapters, GGUF, pickled or quantized weights,
// pointers of Git LFS, JSON that is none. Each with what to do about it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "./errors.ts";

/** A JSON file whose value is an object. @throws UserError that names the file */
export function readJsonObject(path: string): Record<string, unknown> {
  const text = readFileSync(path, "utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    refuseLfsPointer(path, text);
    throw new UserError(`${path}: expected JSON: ${messageOf(error)}`, { cause: error, exitCode: 2 });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new UserError(`${path}: expected a JSON object, found ${text.trim().slice(0, 40)}`, { exitCode: 2 });
}

/** What a file begins with is enough. @throws UserError where it is a pointer instead of the file */
export function refuseLfsPointer(path: string, text: string): void {
  if (!text.startsWith("version https://git-lfs")) return;
  throw new UserError(
    `${path}: is a pointer of Git LFS, not the file itself. Run "git lfs pull" in its folder, or get the model with: ` +
      "forge download ORG/NAME --output-dir DIR",
    { exitCode: 2 },
  );
}

/** What a folder without config.json or safetensors weights is, and what to do about it; "" where nothing tells. */
export function otherModelFormat(folder: string): string {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const first = (pattern: RegExp): string | undefined => names.find((name) => pattern.test(name));
  if (names.includes("adapter_config.json")) {
    const base = baseOfAdapter(join(folder, "adapter_config.json"));
    return (
      ` It holds an adapter (LoRA)${base === undefined ? "" : ` of ${base}`}: give the model that it adapts, and this folder with ` +
      `--adapter (in a configuration adapter.initial_load_path), or merge the two: forge merge --adapter ${folder} --output-dir DIR`
    );
  }
  const gguf = first(/\.gguf$/i);
  if (gguf !== undefined) return ` Convert it with: forge import ${join(folder, gguf)} --output-dir DIR`;
  if (first(/^(pytorch_model|model).*\.bin$/) !== undefined)
    return " Its weights are pickled (.bin): save them as safetensors, in Python with AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OTHER).";
  if (first(/\.pth?$/) !== undefined)
    return " Its weights are those of the original code (.pth): get the model in Hugging Face's layout, often in a repository whose name ends in -hf.";
  return "";
}

function baseOfAdapter(path: string): string | undefined {
  try {
    const base = readJsonObject(path)["base_model_name_or_path"];
    return typeof base === "string" ? base : undefined;
  } catch {
    return undefined; // it's an adapter all the same
  }
}

/** What a config.json says of a model that bitsandbytes quantized to nf4. */
export interface QuantizedFiles {
  readonly doubleQuant: boolean;
  /** Modules that aren't quantized, beside the head. */
  readonly skip: string[];
}

/**
 * How a model's files are quantized; undefined: they aren't.
 * @throws UserError for a format that isn't read
 */
export function quantizationOf(
  where: string,
  config: Readonly<Record<string, unknown>>,
): QuantizedFiles | undefined {
  const quantization = config["quantization_config"];
  if (typeof quantization !== "object" || quantization === null) return undefined;
  const found = quantization as Readonly<Record<string, unknown>>;
  const method = found["quant_method"];
  const isBitsandbytes = method === "bitsandbytes" || (method === undefined && "load_in_4bit" in found);
  const fourBit = found["load_in_4bit"] === true || found["_load_in_4bit"] === true;
  const type = found["bnb_4bit_quant_type"] ?? "fp4";
  if (isBitsandbytes && fourBit && type === "nf4") {
    const skip: unknown = found["llm_int8_skip_modules"];
    return {
      doubleQuant: found["bnb_4bit_use_double_quant"] === true,
      skip: Array.isArray(skip) ? skip.filter((one) => typeof one === "string") : [],
    };
  }
  const named = typeof method === "string" ? method : "an unnamed method";
  const what = isBitsandbytes ? `bitsandbytes (${fourBit ? JSON.stringify(type) : "8 bits"})` : named;
  throw new UserError(
    `${where}: expected weights in a floating dtype, or in nf4 by bitsandbytes, found a model quantized by ${what}. Use the model that it was made from.`,
    { exitCode: 2 },
  );
}
