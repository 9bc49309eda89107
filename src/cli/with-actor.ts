// Runs an actor for a command: shows its messages, and makes a signal finish the step and save if it trains, else exit.
// The actor is always cleaned up.
import {
  type ActorClass,
  type BaseForgeActor,
  type Interrupt,
  onInterrupt,
  SpawnActor,
  TerminalPresenter,
} from "../actors/index.ts";
import type { Config } from "../config/index.ts";
import type { ConsoleReporter } from "../metrics/index.ts";

export interface WithActorOptions {
  /** Shows steps: as a bar on a terminal, else as lines. */
  reporter?: ConsoleReporter | undefined;
  /** Sends notes to standard error, so that standard output holds only the result. */
  notesToStderr?: boolean;
  /** False: streamed text is not written to standard output. */
  showText?: boolean;
}

/** Exit codes of a run that was stopped: those of a program that the signal killed. */
const exitCodes: Readonly<Record<Interrupt, number>> = {
  SIGHUP: 129,
  SIGINT: 130,
  SIGUSR1: 138,
  SIGTERM: 143,
};
let stoppedBy: Interrupt = "SIGINT";

/** The exit code of a run that has stopped. */
export const stoppedCode = (): number => exitCodes[stoppedBy];

/** Spawns the actor and sets it up, runs `work`, and cleans up. */
export async function withActor<A extends BaseForgeActor, R>(
  actorClass: ActorClass<A>,
  config: Config,
  options: WithActorOptions,
  work: (spawner: SpawnActor<A>) => Promise<R>,
): Promise<R> {
  const { reporter } = options;
  const spawner = new SpawnActor(actorClass, config, {
    presenter: (actor) => new TerminalPresenter(actor, options),
  });
  // Exiting this process also ends the workers.
  const end = (signal: Interrupt): void => process.exit(exitCodes[signal]);
  const release = onInterrupt((signal) => {
    if (!reporter) return end(signal);
    const { enable, loadOnly } = config.spec.checkpoint;
    const saved = enable && !loadOnly ? "with a checkpoint" : "without a checkpoint";
    const again = signal === "SIGINT" ? "Ctrl-C" : "SIGTERM";
    stoppedBy = signal;
    spawner.stop();
    reporter.line(`stopping after this step, ${saved}; ${again} again stops at once`);
  }, end);
  try {
    await using _ = spawner;
    await spawner.spawn();
    await spawner.setup();
    return await work(spawner);
  } finally {
    release();
  }
}
