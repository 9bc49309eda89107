// Weights of an adapter, read from a folder of PEFT (also as Unsloth, axolotl and others write it) or from one of our checkpoints
// of an adapter, which has them under the model's own names. What the adapter is, its adapter_config.json says (models).
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openModelWeights, openSafetensors, type TensorSource } from "../../safetensors/index.ts";
import type { Tensor } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";
import { manifestOfWeights, replacedAdvice, sumsIn } from "../step/manifest.ts";
import { adapterConfigName, adapterFileName, peftPrefix } from "./adapter-files.ts";
import { loadFrom, type LoadOptions, type LoadReport } from "./load.ts";

/** PEFT's name to ours. Before 0.3 and in raw state dicts the adapter's own name (`default`) is part of it. */
export function nameOfPeft(name: string): string {
  const own = name.startsWith(peftPrefix) ? name.slice(peftPrefix.length) : name;
  return own
    .replace(/\.modules_to_save(?:\.default)?\./, ".")
    .replace(/\.(lora_[AB])\.default\./, ".$1.")
    .replace(/\.lora_magnitude_vector(?:\.default)?(?:\.weight)?$/, ".lora_magnitude_vector");
}

/** The tensors of an adapter by our names. The caller closes it. @throws UserError where there are none */
export function openAdapterWeights(folder: string): TensorSource {
  const file = join(folder, adapterFileName);
  const manifest = manifestOfWeights(folder);
  const sums = manifest && sumsIn(manifest, replacedAdvice(folder));
  if (existsSync(file)) return renamed(openSafetensors(file, sums), nameOfPeft);
  if (existsSync(join(folder, "adapter_model.bin")))
    throw new UserError(
      `${folder}: its weights are pickled (adapter_model.bin): save them as safetensors, in Python with PeftModel.from_pretrained(base, DIR).save_pretrained(OTHER).`,
      { exitCode: 2 },
    );
  if (manifest !== undefined) return openModelWeights(folder, sums);
  throw new UserError(`${folder}: expected ${adapterFileName}, found none.`, { exitCode: 2 });
}

/**
 * Fills `params` (by our names) with the adapter in `folder`.
 * @throws UserError that names what is missing, surplus or of another shape
 */
export function loadAdapter(
  folder: string,
  params: ReadonlyMap<string, Tensor>,
  options: LoadOptions = {},
): LoadReport {
  using source = openAdapterWeights(folder);
  return loadFrom(source, folder, params, {
    ...options,
    whose: `the adapter that ${adapterConfigName} describes`,
  });
}

function renamed(source: TensorSource, nameOf: (name: string) => string): TensorSource {
  const original = new Map(source.names.map((name) => [nameOf(name), name]));
  const find = (name: string): string => original.get(name) ?? name;
  return {
    names: [...original.keys()],
    has: (name) => original.has(name),
    info: (name) => source.info(find(name)),
    fileOf: (name) => source.fileOf(find(name)),
    readInto: (name, into, byteOffset) => source.readInto(find(name), into, byteOffset),
    read: (name) => source.read(find(name)),
    close: () => source.close(),
    [Symbol.dispose]: () => source.close(),
  };
}
