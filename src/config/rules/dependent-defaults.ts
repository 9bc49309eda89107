// Defaults that depend on other keys. They hold only where the key was not given, and are filled in before validation,
// so that a resolved configuration says what the run does. Each is described in the key's `defaultNote`.

import { isTorchtitanDataset } from "../run/torchtitan-datasets.ts";
import { findKey } from "../schema/keys.ts";

/** Reads the value of another key, given or default; not validated yet. */
export type Get = (name: string) => unknown;

export const dependentDefaults: Readonly<Record<string, (get: Get) => unknown>> = {
  // The recipe's 200 belongs to 1000 steps; a run of 10 steps must not be all warm-up.
  "lr_scheduler.warmup_steps": (get) => {
    const steps = get("training.steps");
    return typeof steps === "number" && steps < 1000 && steps >= 1 ? Math.floor(steps / 5) : 200;
  },
  // The CPU has no fast bfloat16 path that is worth its loss of precision.
  "training.mixed_precision_param": (get) => (get("processes.with_gpus") === true ? "bfloat16" : "float32"),
  // As torchtitan trains on its text.
  "training.on_overlong": (get) => {
    const name = get("training.dataset");
    return typeof name === "string" && isTorchtitanDataset(name) ? "split" : "truncate";
  },
};

/** Whether a key's default depends on other keys. */
export const followsOthers = (name: string): boolean => Object.hasOwn(dependentDefaults, name);

/** The default of a key, given how to read the others; undefined where it has none. */
export function defaultOf(name: string, get: Get): unknown {
  return followsOthers(name) ? dependentDefaults[name]!(get) : findKey(name)?.default;
}
