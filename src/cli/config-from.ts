// A command's configuration: an optional YAML file, and overrides from the command line.
import { Config, type ConfigOptions } from "../config/index.ts";

/** @throws ConfigError, UserError */
export function configFrom(
  file: string | undefined,
  overrides: readonly string[],
  options: Omit<ConfigOptions, "overrides"> = {},
): Config {
  const configOptions = { ...options, overrides };
  return file === undefined ? Config.create({}, configOptions) : Config.fromYaml(file, configOptions);
}
