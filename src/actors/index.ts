// torchforge/actors: work in processes of its own. A controller without libtorch, workers with it.
export type { ActorHandle, Remote, RemoteAll } from "./actor-handle.ts";
export { type ActorClass, type ActorContext, BaseForgeActor, type ParallelDims } from "./base-forge-actor.ts";
export { type ActorErrorFacts, WorkerDied } from "./errors.ts";
export { type ActorEvent, type ActorMessage, type Phase, phases } from "./events.ts";
export { isLaunchedRank } from "./launched-mesh.ts";
export {
  consoleReporter,
  type Presenter,
  type PresenterFactory,
  setPresenter,
  type Shown,
  TerminalPresenter,
  type TerminalOptions,
} from "./presenter.ts";
export type { Meeting } from "./protocol.ts";
export { runActor } from "./run-actor.ts";
export { onInterrupt } from "./signals.ts";
export { type ResultOf, SpawnActor, type SpawnOptions, type State } from "./spawn-actor.ts";
export { serveWorker } from "./worker-side.ts";
export type { World } from "./world.ts";
