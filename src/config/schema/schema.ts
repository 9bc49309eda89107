// The schema of the whole configuration, the one source of types, defaults, validation and documentation.
// Not here: checks over several keys (rules/checks/) and what is not supported yet (support.ts).
import { z } from "zod";

import type { TorchforgeConfig } from "../generated/types.ts";
import { adapter } from "../sections/adapter.ts";
import { activationCheckpoint } from "../sections/activation-checkpoint.ts";
import { checkpoint } from "../sections/checkpoint.ts";
import { comm } from "../sections/comm.ts";
import { evaluation } from "../sections/eval.ts";
import { job } from "../sections/job.ts";
import { lrScheduler } from "../sections/lr-scheduler.ts";
import { metricLogging } from "../sections/metric-logging.ts";
import { model } from "../sections/model.ts";
import { optimizer } from "../sections/optimizer.ts";
import { parallelism } from "../sections/parallelism.ts";
import { processes } from "../sections/processes.ts";
import { quantize } from "../sections/quantize.ts";
import { training } from "../sections/training.ts";

export const schema = z.strictObject({
  job,
  model,
  processes,
  optimizer,
  lr_scheduler: lrScheduler,
  training,
  adapter,
  quantize,
  parallelism,
  checkpoint,
  activation_checkpoint: activationCheckpoint,
  comm,
  eval: evaluation,
  metric_logging: metricLogging,
});

export type {
  ConfigInput,
  DatasetInput,
  DatasetSpec,
  Interpolation,
  TorchforgeConfig,
} from "../generated/types.ts";

// The generated types are what the schema infers, in both directions; if this fails, run
// `node scripts/generate-config-docs.ts`.
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
const _typesAreCurrent: Same<z.output<typeof schema>, TorchforgeConfig> = true;
void _typesAreCurrent;
