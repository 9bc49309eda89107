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

/** @throws UserError for a config.json of a quantized model, whose tensors have other names and integer values */
export function refuseQuantized(where: string, config: Readonly<Record<string, unknown>>): void {
  const quantization = config["quantization_config"];
  if (typeof quantization !== "object" || quantization === null) return;
  const { quant_method: method } = quantization as { quant_method?: unknown };
  throw new UserError(
    `${where}: expected weights in a floating dtype, found a model quantized by ${typeof method === "string" ? method : "an unnamed method"}. Use the model that it was made from.`,
    { exitCode: 2 },
  );
}
