// A check over several keys of the configuration, and what checks share.
import type { RunSpec } from "../../run/run-spec.ts";
import type { Path } from "../../schema/keys.ts";
import type { TorchforgeConfig } from "../../schema/schema.ts";

export interface Check {
  /** The keys it looks at; the first is where the problem is reported. */
  keys: readonly string[];
  severity: "error" | "warning";
  /** What it demands, for explain and the docs. */
  rule: string;
  /** The texts of what is wrong; with a path where that is not the first key. */
  run(config: TorchforgeConfig, spec: RunSpec): (string | { path: Path; message: string })[];
}

/** One message where something is wrong, none otherwise. */
export const when = (wrong: boolean, message: () => string) => (wrong ? [message()] : []);

/** The degrees whose product is processes.procs. */
export const degreeKeys = [
  "parallelism.data_parallel_replicate_degree",
  "parallelism.data_parallel_shard_degree",
  "parallelism.context_parallel_degree",
  "parallelism.tensor_parallel_degree",
  "parallelism.pipeline_parallel_degree",
] as const;
