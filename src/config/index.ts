// The public face of the configuration. Loads neither libtorch nor a model; imports only util and view.
export { Config, type ConfigOptions, type ConfigTransfer } from "./config.ts";
export type { Degrees, RunDataset, RunSpec } from "./run/run-spec.ts";
export { numbersOf, resumeDifferences } from "./run/resume-differences.ts";
export { parseSplit, type Split } from "./run/split.ts";
export type { Difference } from "./text/difference.ts";
export { explain, explanationText, type Explanation } from "./text/explain.ts";
export { jsonSchema, type JsonSchema } from "./schema/json-schema.ts";
export { launcherOverrides, takesValue } from "./values/overrides.ts";
export { allKeyNames, isKnown, parsePath } from "./schema/keys.ts";
export { followsOthers } from "./rules/dependent-defaults.ts";
export { presets, presetTable, type Preset, type PresetName } from "./presets.ts";
export { ConfigError, type Problem } from "./rules/problems.ts";
export type * from "./generated/types.ts";
export { section, type Sections } from "./section.ts";
export { foreignMessage, nearestWord, unknownKeyMessage } from "./rules/suggest.ts";
export { datasetFields, type DatasetFormat } from "./sections/dataset.ts";
