// Checks over several keys, a file a section in checks/: where a problem is reported says which section's file has it.
// A failed check is an error or a warning whose text names every key that it looks at.
// A check runs only when all of its keys are valid by themselves.
import { activationCheckpointChecks } from "./checks/activation-checkpoint.ts";
import { adapterChecks } from "./checks/adapter.ts";
import { checkpointChecks } from "./checks/checkpoint.ts";
import { commChecks } from "./checks/comm.ts";
import { evalChecks } from "./checks/eval.ts";
import { lrSchedulerChecks } from "./checks/lr-scheduler.ts";
import { modelChecks } from "./checks/model.ts";
import { optimizerChecks } from "./checks/optimizer.ts";
import { parallelismChecks } from "./checks/parallelism.ts";
import { trainingChecks } from "./checks/training.ts";
import type { Check } from "./checks/check.ts";
import { resolveRun } from "../run/run-spec.ts";
import type { Path } from "../schema/keys.ts";
import type { TorchforgeConfig } from "../schema/schema.ts";

export const checks: readonly Check[] = [
  ...modelChecks,
  ...parallelismChecks,
  ...trainingChecks,
  ...lrSchedulerChecks,
  ...evalChecks,
  ...adapterChecks,
  ...checkpointChecks,
  ...activationCheckpointChecks,
  ...commChecks,
  ...optimizerChecks,
];

/** Runs the checks of one severity, leaving out those that look at a key for which `isBad` holds. */
export function runChecks(
  config: TorchforgeConfig,
  severity: Check["severity"],
  isBad: (key: string) => boolean = () => false,
  steps?: number,
): { path: Path; message: string }[] {
  const spec = resolveRun(config, steps);
  return checks
    .filter((check) => check.severity === severity && !check.keys.some(isBad))
    .flatMap((check) =>
      check
        .run(config, spec)
        .map((found) =>
          typeof found === "string" ? { path: check.keys[0]!.split("."), message: found } : found,
        ),
    );
}
