// Gets libtorch and the compiled addon onto the machine. It never loads either: that is torch's.
export { addonTarget, nativeDir, type AddonTarget } from "./addon-key.ts";
export { buildAddon } from "./build.ts";
export { findCompiler, missingCompiler, requireCompiler, tooOld, type Compiler } from "./compiler.ts";
export {
  locateLibtorch,
  minimumVersion,
  pinnedVersion,
  requireLibtorch,
  type Libtorch,
  type Located,
  type Rejected,
} from "./locate.ts";
export { withLock } from "./lock.ts";
export { availableMemory, freeDisk } from "./machine.ts";
export { progressLine, type ProgressLine } from "./progress.ts";
export { findPython3 } from "./python.ts";
export { setup, type SetupOptions, type SetupResult } from "./setup.ts";
export { autobuildProgram } from "./programs.ts";
export { ensureVenv } from "./venv.ts";
