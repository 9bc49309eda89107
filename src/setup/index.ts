// Gets libtorch and the compiled addon onto the machine. It never loads either: that is torch's. What installs and
// builds is loaded when it is called: each process that uses a tensor imports this file, to find what is there.
import type { BuildOptions } from "./build.ts";
import type { JupyterLab, JupyterOptions } from "./jupyter.ts";
import type { Libtorch } from "./locate.ts";
import type { PackageVenv, PackageVenvOptions } from "./package-venv.ts";
import type { SetupOptions, SetupResult } from "./setup.ts";
import type { VenvOptions } from "./venv.ts";

export { addonTarget, nativeDir, type AddonTarget } from "./addon-key.ts";
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
export { autobuildProgram } from "./programs.ts";
export type {
  BuildOptions,
  JupyterLab,
  JupyterOptions,
  PackageVenv,
  PackageVenvOptions,
  SetupOptions,
  SetupResult,
  VenvOptions,
};

/** Builds the addon unless it is there, and returns its path. Safe to call from several processes at once. */
export async function buildAddon(libtorch: Libtorch, options?: BuildOptions): Promise<string> {
  return await (await import("./build.ts")).buildAddon(libtorch, options);
}

/** JupyterLab: the one on PATH, else one in the cache, which is installed when it isn't there. */
export async function ensureJupyterLab(options?: JupyterOptions): Promise<JupyterLab> {
  return await (await import("./jupyter.ts")).ensureJupyterLab(options);
}

/** A private venv in the cache with one package, made unless it is there. @returns its folder */
export async function ensurePackageVenv(wanted: PackageVenv, options?: PackageVenvOptions): Promise<string> {
  return await (await import("./package-venv.ts")).ensurePackageVenv(wanted, options);
}

/** Makes the private venv unless it is there, and returns its folder. */
export async function ensureVenv(options?: VenvOptions): Promise<string> {
  return await (await import("./venv.ts")).ensureVenv(options);
}

/** Finds or installs libtorch, then builds the addon unless it is cached. */
export async function setup(options?: SetupOptions): Promise<SetupResult> {
  return await (await import("./setup.ts")).setup(options);
}
