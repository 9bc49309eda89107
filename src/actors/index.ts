// torchforge/actors: work that runs in its own processes. The controller never loads libtorch; the workers do.
export type { ActorHandle, Remote, RemoteAll } from "./controller/actor-handle.ts";
export { type ActorClass, type ActorContext, BaseForgeActor, type ParallelDims } from "./base-forge-actor.ts";
export { type ActorErrorFacts, WorkerDied } from "./messages/errors.ts";
export { type ActorEvent, type ActorMessage, type Phase, phases } from "./messages/events.ts";
export { isLaunchedRank } from "./controller/launched-mesh.ts";
export {
  consoleReporter,
  type Presenter,
  type PresenterFactory,
  setPresenter,
  type PresentedActor,
  TerminalPresenter,
  type TerminalOptions,
} from "./show/presenter.ts";
export type { StoreAddress } from "./messages/protocol.ts";
export { runActor } from "./controller/run-actor.ts";
export { onInterrupt, type Interrupt } from "./controller/signals.ts";
export { type ResultOf, SpawnActor, type SpawnOptions, type State } from "./controller/spawn-actor.ts";
export { serveWorker } from "./worker/worker-side.ts";
export type { LocalPlace, World } from "./world.ts";
