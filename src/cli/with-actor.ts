// Runs an actor for a command: shows its messages, and makes Ctrl-C finish the step and save if it trains, else exit. The actor is
// always cleaned up.
import {
  type ActorClass,
  type BaseForgeActor,
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
}

/** Exit code of a run that the user stopped: that of a program killed by SIGINT. */
export const interruptedCode = 130;

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
  const end = (): void => process.exit(interruptedCode);
  const release = onInterrupt(() => {
    if (!reporter) return end();
    reporter.line("stopping after this step, with a checkpoint; Ctrl-C again stops at once");
    spawner.stop();
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
