// The configuration of a command: a YAML file where one is given, and keys of the command line.
import { Config, type ConfigOptions } from "../config/index.ts";

/** @throws ConfigError, UserError */
export function configFrom(
  file: string | undefined,
  overrides: readonly string[],
  options: Omit<ConfigOptions, "overrides"> = {},
): Config {
  const all = { ...options, overrides };
  return file === undefined ? Config.create({}, all) : Config.fromYaml(file, all);
}
