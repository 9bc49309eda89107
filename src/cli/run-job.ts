// Runs a worker's job from a command: shows its notes and records, and turns Ctrl-C into "finish the step, save, end" where
// there are steps, into the end where there are none.
import { trainWorkerProgram, WorkerHost, type Job } from "../actors/index.ts";
import type { ConsoleReporter } from "../metrics/index.ts";

export interface RunJobOptions {
  /** Show steps: a bar on a terminal, lines elsewhere. */
  reporter?: ConsoleReporter | undefined;
  /** Notes go to standard error, so that standard output is the result alone. */
  notesToStderr?: boolean;
}

/** Exit code of a run that the user stopped: that of a program ended by SIGINT. */
export const interruptedCode = 130;

export async function runJob<Result>(job: Job, options: RunJobOptions = {}): Promise<Result> {
  const { reporter } = options;
  const host = new WorkerHost(trainWorkerProgram, job, {
    onMessage: (message) => {
      if (message.type === "record") reporter?.write(message.record);
      else if (message.type === "text") process.stdout.write(message.text);
      else if (reporter) reporter.line(message.text);
      else if (options.notesToStderr) console.error(message.text);
      else console.log(message.text);
    },
  });
  let interrupts = 0;
  const interrupt = (): void => {
    interrupts++;
    if (interrupts === 1 && reporter) {
      reporter.line("stopping after this step, with a checkpoint; Ctrl-C again stops at once");
      host.stop();
    } else {
      host.kill();
      process.exit(interruptedCode);
    }
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  try {
    return (await host.result) as Result;
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
    reporter?.close();
  }
}
