// The job of `forge sft --dry-run`: builds everything, runs one step on the longest possible batch, measures, saves nothing.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Config, type ConfigInput } from "../../config/index.ts";
import { formatDuration } from "../../metrics/index.ts";
import { describeRun, gibibytes } from "../describe-run.ts";
import { Trainer } from "../trainer.ts";
import type { JobContext } from "./context.ts";

export interface DryRunResult {
  stepSeconds: number;
  peakBytes: number;
  forecastBytes: number;
  runSeconds: number;
}

export async function run(job: { config: ConfigInput }, context: JobContext): Promise<DryRunResult> {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-dry-run-"));
  try {
    const given = Config.create(job.config).toObject() as ConfigInput;
    const config = Config.create({
      ...given,
      job: { ...given.job, dump_folder: folder },
      checkpoint: { ...given.checkpoint, enable: false },
    });
    const trainer = await Trainer.create(config, { onNote: context.note });
    try {
      for (const line of describeRun(trainer).slice(0, -1)) context.note(line);
      await trainer.loader.next();
      trainer.measure(); // the first step also fills caches
      const { stepSeconds, peakBytes } = trainer.measure();
      const seconds = stepSeconds * trainer.derived.accumulationSteps;
      const result = {
        stepSeconds: seconds,
        peakBytes,
        forecastBytes: trainer.forecast.totalBytes,
        runSeconds: seconds * config.training.steps,
      };
      context.note(
        `measured    ${gibibytes(peakBytes)} of tensors at the peak of a step with the longest batch (forecast ${gibibytes(result.forecastBytes)})`,
      );
      context.note(
        `            ${seconds.toFixed(2)} s a step, ${formatDuration(result.runSeconds)} for ${config.training.steps} steps at most`,
      );
      return result;
    } finally {
      await trainer.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
