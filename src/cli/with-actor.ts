// Runs an actor from a command: shows what it tells, and turns Ctrl-C into "finish the step, save, end" where there are
// steps, into the end where there are none. Whatever happens, the actor is cleaned up.
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
  /** Show steps: a bar on a terminal, lines elsewhere. */
  reporter?: ConsoleReporter | undefined;
  /** Notes go to standard error, so that standard output is the result alone. */
  notesToStderr?: boolean;
}

/** Exit code of a run that the user stopped: that of a program ended by SIGINT. */
export const interruptedCode = 130;

/** Spawns the actor and sets it up, does `work`, cleans up. */
export async function withActor<A extends BaseForgeActor, R>(
  actorClass: ActorClass<A>,
  config: Config,
  options: WithActorOptions,
  work: (spawner: SpawnActor<A>) => Promise<R>,
): Promise<R> {
  const { reporter } = options;
  const spawner = new SpawnActor(actorClass, config, {
    presenter: (shown) => new TerminalPresenter(shown, options),
  });
  // The workers end with this process.
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
