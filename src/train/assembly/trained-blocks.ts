// The blocks of a run's model as it trains them: what is frozen, and what adapters add. Everything that makes, divides, counts,
// fills or saves parameters asks here.
import { existsSync } from "node:fs";
import { join } from "node:path";

import type { RunSpec } from "../../config/index.ts";
import {
  blockSpecs,
  quantizedBlocks,
  settingsOfPeft,
  tunedBlocks,
  type AdapterSettings,
  type ModelConfig,
} from "../../models/index.ts";
import { isQuantized, type BlockSpec } from "../../nn/index.ts";
import { expandHome, readJsonObject, UserError } from "../../util/index.ts";

/** @throws UserError for a pattern that matches nothing in this model, and for an adapter that can't be loaded */
export function trainedBlocks(
  spec: Pick<RunSpec, "trainable" | "adapter" | "quantize">,
  model: ModelConfig,
): readonly BlockSpec[] {
  const adapter = adapterSettings(spec);
  refuseTrainedBase(spec, model);
  const blocks = tunedBlocks(blockSpecs(model), { trainable: spec.trainable, adapter });
  if (model.quantization !== undefined) {
    refuseTrainedMatrix(blocks);
    return blocks;
  }
  const { quantize } = spec;
  return quantize === undefined
    ? blocks
    : quantizedBlocks(blocks, quantize, `quantize.base (${quantize.format})`, ({ trainable }) => !trainable);
}

/** @throws UserError where weights would be trained that are kept in fewer bits, or be kept otherwise than their files are */
function refuseTrainedBase(
  { adapter, quantize }: Pick<RunSpec, "adapter" | "quantize">,
  { quantization }: ModelConfig,
): void {
  const has = quantization === undefined ? quantize?.format : "nf4";
  if (has === undefined) return;
  const isOfFiles = quantization !== undefined;
  const key = isOfFiles ? "model.hf_assets_path (its files are in nf4)" : `quantize.base (${has})`;
  if (adapter === undefined)
    throw new UserError(
      `${key}: quantized weights can't be trained, since steps smaller than their rounding would be lost; train an adapter (adapter.method=lora), or ${isOfFiles ? "take the model that it was made from" : "leave quantize.base out"}`,
      { exitCode: 2 },
    );
  if (isOfFiles && quantize !== undefined && quantize.format !== "nf4")
    throw new UserError(
      `quantize.base (${quantize.format}): the files in model.hf_assets_path are in nf4 already; leave it out, or take the model that they were made from`,
      { exitCode: 2 },
    );
}

function refuseTrainedMatrix(blocks: readonly BlockSpec[]): void {
  const found = blocks
    .flatMap(({ parameters }) => [...parameters.values()])
    .find(({ storage, trainable }) => trainable && isQuantized(storage));
  if (found === undefined) return;
  throw new UserError(
    `adapter.modules_to_save: ${found.name} is quantized in the model's files (${found.storage!.name}), and can't be trained itself; adapt it (adapter.target_modules)`,
    { exitCode: 2 },
  );
}

/** What the run adapts; undefined: nothing. */
export function adapterSettings({ adapter }: Pick<RunSpec, "adapter">): AdapterSettings | undefined {
  if (adapter === undefined) return undefined;
  const { initialLoadPath: path, dropout, method } = adapter;
  if (path === null) return adapter;
  const found = adapterIn(path, "adapter.initial_load_path");
  if (method !== "lora" && method !== found.method)
    throw new UserError(
      `adapter.method: ${path} is of the method ${found.method}, found ${method}; leave it out.`,
      {
        exitCode: 2,
      },
    );
  return { ...found, dropout };
}

/** The settings of an adapter on disk. @throws UserError where there is none */
export function adapterIn(path: string, key: string): AdapterSettings {
  const folder = expandHome(path);
  const file = join(folder, "adapter_config.json");
  if (!existsSync(file))
    throw new UserError(
      `${key}: expected the folder of an adapter, with adapter_config.json, found none at ${folder}. An adapter of the hub is downloaded first: forge download ORG/NAME --output-dir DIR`,
      { exitCode: 2 },
    );
  return settingsOfPeft(readJsonObject(file), file);
}
