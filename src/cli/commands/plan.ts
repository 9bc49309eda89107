// `forge plan`: shows mesh, stages, memory, schedule and communication of a distributed run before any process is started.
import { existsSync } from "node:fs";
import { join } from "node:path";

import { Command } from "commander";

import {
  cachedSnapshot,
  download,
  hubEnvironment,
  parseModelReference,
  resolveModel,
} from "../../hub/index.ts";
import { configFrom, configOption, overridesArgument } from "../config-from.ts";

interface Options {
  readonly config?: string;
}

export function command(): Command {
  return new Command("plan")
    .option(...configOption)
    .argument(...overridesArgument)
    .addHelpText(
      "after",
      "\nStarts no process and loads no weights: the model's config.json and the configuration are enough.\n" +
        "\nExamples:\n" +
        "  $ npx torchforge plan --config recipes/llama3_8b.yaml\n" +
        "  $ npx torchforge plan --config run.yaml processes.procs=4 parallelism.pipeline_parallel_degree=2 parallelism.pipeline_parallel_schedule=ZBVZeroBubble",
    )
    .action(async (overrides: string[], options: Options) => {
      const config = configFrom(options.config, overrides);
      for (const warning of config.warnings) console.error(`note: ${warning}`);
      const folder = await folderOfConfig(config.model.hf_assets_path);
      const { planFolder } = await import("../../train/index.ts");
      console.log(planFolder(config.spec, folder).join("\n"));
    });
}

/** A folder with the model's config.json. For a model on the hub, downloads only that file. */
export async function folderOfConfig(reference: string): Promise<string> {
  const hub = parseModelReference(reference);
  if (hub === undefined) return await resolveModel(reference);
  const { cacheDir, offline } = hubEnvironment();
  const { name, revision = "main" } = hub;
  const cached = cachedSnapshot(cacheDir, { type: "model", name }, revision);
  if (cached !== undefined && existsSync(join(cached, "config.json"))) return cached;
  if (offline) return await resolveModel(reference);
  const isConfig = ({ path }: { path: string }): boolean => path === "config.json";
  return (await download(name, { revision, select: (files) => files.filter(isConfig) })).folder;
}
