// The public face of the configuration. Loads neither libtorch nor a model; imports only util.
export { Config, type ConfigOptions, type Difference } from "./config.ts";
export { derive, parseSplit, type Derived, type Split } from "./derive.ts";
export { ConfigError, type Problem } from "./problems.ts";
export type { ConfigInput, DatasetSpec, TorchforgeConfig } from "./schema.ts";
export { datasetFields, type DatasetFormat } from "./sections/dataset.ts";
