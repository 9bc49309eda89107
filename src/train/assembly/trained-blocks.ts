// The blocks of a run's model as it trains them: what is frozen, and what adapters add. Everything that makes, divides, counts,
// fills or saves parameters asks here.
import { existsSync } from "node:fs";
import { join } from "node:path";

import type { RunSpec } from "../../config/index.ts";
import {
  blockSpecs,
  settingsOfPeft,
  tunedBlocks,
  type AdapterSettings,
  type ModelConfig,
} from "../../models/index.ts";
import type { BlockSpec } from "../../nn/index.ts";
import { expandHome, readJsonObject, UserError } from "../../util/index.ts";

/** @throws UserError for a pattern that matches nothing in this model, and for an adapter that can't be loaded */
export function trainedBlocks(
  spec: Pick<RunSpec, "trainable" | "adapter">,
  model: ModelConfig,
): readonly BlockSpec[] {
  return tunedBlocks(blockSpecs(model), { trainable: spec.trainable, adapter: adapterSettings(spec) });
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
