// What `forge sft --dry-run` asks: everything is built, one step on the longest possible batch is measured, nothing is saved.
import { formatDuration } from "../../metrics/index.ts";
import { TrainerActor } from "./trainer-actor.ts";

export interface DryRunResult {
  stepSeconds: number;
  peakBytes: number;
  forecastBytes: number;
  runSeconds: number;
}

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Give it a configuration whose run folder may be thrown away. */
export class DryRunActor extends TrainerActor {
  static override readonly module = import.meta.url;
  static override readonly collective: readonly string[] = [...TrainerActor.collective, "measure"];

  /** Instead of run(): the weights are of no use afterwards. */
  async measure(): Promise<DryRunResult> {
    const trainer = this.trainer("measure");
    await trainer.loader.next();
    trainer.measure(); // the first step also fills caches
    const { stepSeconds, peakBytes } = trainer.measure();
    const { accumulationSteps, steps } = trainer.spec;
    const seconds = stepSeconds * accumulationSteps;
    const result = {
      stepSeconds: seconds,
      peakBytes,
      forecastBytes: trainer.forecast.totalBytes,
      runSeconds: seconds * steps,
    };
    this.note(
      `measured    ${gibibytes(peakBytes)} of tensors at the peak of a step with the longest batch (forecast ${gibibytes(result.forecastBytes)})`,
    );
    this.note(
      `            ${seconds.toFixed(2)} s a step, ${formatDuration(result.runSeconds)} for ${steps} steps at most`,
    );
    return result;
  }

  /** Without the run folder, which goes away. */
  protected override describe(lines: readonly string[]): readonly string[] {
    return lines.slice(0, -1);
  }
}
