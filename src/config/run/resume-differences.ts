// What of a configuration makes a resumed run's numbers other than those of the run that was saved. Not here: the data and the
// model, which are compared by what they hold, and not by where they lie.
import { isDeepStrictEqual } from "node:util";

import { allKeys } from "../schema/keys.ts";
import type { TorchforgeConfig } from "../schema/schema.ts";
import type { Difference } from "../text/difference.ts";
import { valueAt } from "../values/tree.ts";

/** Keys and sections that change where a run lies, what it tells and how fast it is, but none of its numbers. */
const withoutEffect = [
  "job",
  "model",
  "processes.max_restarts",
  "training.dataset",
  "training.datasets",
  "training.data_seed",
  "training.message_transform",
  "training.on_bad_row",
  "training.seed",
  "training.gc_freq",
  "parallelism.fsdp_reshard_after_forward",
  "checkpoint",
  "activation_checkpoint",
  "comm",
  "eval",
  "metric_logging",
];

/** The values that the numbers of a run come from, by key, in the order of the schema. Plain JSON, and no paths or texts. */
export function numbersOf(config: TorchforgeConfig): Readonly<Record<string, unknown>> {
  const acts = (name: string): boolean =>
    !withoutEffect.some((one) => name === one || name.startsWith(`${one}.`));
  const keys = allKeys().filter(
    ({ isSection, path, name }) => !isSection && !path.includes("[]") && acts(name),
  );
  return Object.fromEntries(keys.map(({ name, path }) => [name, valueAt(config, path)]));
}

/**
 * The keys that differ from the saved configuration and change the numbers.
 * @param saved `numbersOf` the run that was saved; keys that it lacks are of another version, and left out
 */
export function resumeDifferences(
  saved: Readonly<Record<string, unknown>>,
  config: TorchforgeConfig,
): Difference[] {
  return Object.entries(numbersOf(config))
    .map(([key, after]) => ({ key, before: saved[key], after }))
    .filter(({ before, after }) => before !== undefined && !isDeepStrictEqual(before, after));
}
