// The public face of the configuration. Loads neither libtorch nor a model; imports only util.
export { Config, type ConfigOptions } from "./config.ts";
export type { Difference } from "./difference.ts";
export { derive, parseSplit, type Derived, type Split } from "./derive.ts";
export { explain, explanationText, type Explanation } from "./explain.ts";
export { jsonSchema, type JsonSchema } from "./json-schema.ts";
export { launcherOverrides } from "./overrides.ts";
export { followsOthers } from "./dependent-defaults.ts";
export { presets, presetTable, type Preset, type PresetName } from "./presets.ts";
export { ConfigError, type Problem } from "./problems.ts";
export type * from "./generated/types.ts";
export { section, type Sections } from "./section.ts";
export { nearestWord } from "./suggest.ts";
export { datasetFields, type DatasetFormat } from "./sections/dataset.ts";
