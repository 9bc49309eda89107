// What the tests of actors share: configurations, a quiet presenter, and a look at the processes of this machine.
import { readFileSync, readdirSync } from "node:fs";

import { Config, type ConfigInput } from "../../src/config/index.ts";

/** A configuration for actors that need no model, on some processes. */
export function configFor(procs: number, description = "", more: ConfigInput = {}): Config {
  return Config.create(
    {
      model: { hf_assets_path: "none" },
      ...more,
      job: { description, ...more.job },
      processes: { procs, ...more.processes },
      comm: { train_timeout_seconds: 60, ...more.comm },
    },
    { allowUnsupported: true },
  );
}

/** Process ids of this process's children. */
export function children(pid: number = process.pid): number[] {
  const found: number[] = [];
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const text = readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").trim();
    if (text !== "") found.push(...text.split(" ").map(Number));
  }
  return found;
}
