// torchforge/comm: process groups, collectives and device meshes. Importing it loads nothing native.
export type { CallOptions, Result } from "./call-options.ts";
export type { ReduceOp } from "./checks.ts";
export {
  allGather,
  allGatherIntoTensor,
  allReduce,
  allReduceCoalesced,
  allToAll,
  allToAllSingle,
  barrier,
  broadcast,
  gather,
  reduce,
  type ReduceOptions,
  reduceScatter,
  reduceScatterTensor,
  scatter,
} from "./collectives.ts";
export { DeviceMesh, initDeviceMesh } from "./device-mesh.ts";
export * as differentiable from "./differentiable.ts";
export { CommError } from "./errors.ts";
export { dumpFlightRecorder, flightRecorderFolder, type RecorderOptions } from "./flight-recorder.ts";
export * as functional from "./functional.ts";
export { isLaunched, type LaunchEnv, readLaunchEnv } from "./launch-env.ts";
export { MeshLayout } from "./mesh-layout.ts";
export { allGatherObject, broadcastObject } from "./objects.ts";
export { irecv, isend, recv, send } from "./point-to-point.ts";
export {
  type Backend,
  destroyProcessGroup,
  type InitOptions,
  initProcessGroup,
  isInitialized,
  isSimulated,
  newGroup,
  ProcessGroup,
  setCallTimeout,
  simulatedCalls,
  type SimulatedCalls,
  simulateProcessGroup,
  worldGroup,
  worldStore,
} from "./process-group.ts";
export { Store, type StoreOptions } from "./store.ts";
export { waitedMilliseconds, Work, worksInFlight } from "./work.ts";
