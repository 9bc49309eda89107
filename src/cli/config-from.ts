// A command's configuration: an optional YAML file or recipe, and overrides from the command line. Every command that runs,
// plans or shows a run takes them so.
import { configFile } from "./recipe-files.ts";
import { Config, type ConfigOptions } from "../config/index.ts";

/** @throws ConfigError, UserError */
export function configFrom(
  file: string | undefined,
  overrides: readonly string[],
  options: Omit<ConfigOptions, "overrides"> = {},
): Config {
  const configOptions = { ...options, overrides };
  return file === undefined
    ? Config.create({}, configOptions)
    : Config.fromYaml(configFile(file), configOptions);
}

/** What --config and its overrides are, in every command's help. */
export const configOption = [
  "--config <file>",
  "YAML file, or the name of a recipe; without it, all keys come from the overrides",
] as const;
export const overridesArgument = [
  "[overrides...]",
  "key=value sets a key, ~key takes it back to its default",
] as const;
