// Installs libtorch and builds the addon, but loads neither (src/torch does). Every process that uses a tensor imports this file,
// so the code that installs and builds is only imported when called.
import type { BuildOptions } from "./build.ts";
import type { JupyterLab, JupyterOptions } from "./jupyter.ts";
import type { Libtorch } from "./locate.ts";
import type { PythonPackage, PackageVenvOptions } from "./package-venv.ts";
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
  type LocateResult,
  type RejectedTorch,
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
  PythonPackage,
  PackageVenvOptions,
  SetupOptions,
  SetupResult,
  VenvOptions,
};

/** Builds the addon unless it exists, and returns its path. Safe to call from several processes at once. */
export async function buildAddon(libtorch: Libtorch, options?: BuildOptions): Promise<string> {
  return await (await import("./build.ts")).buildAddon(libtorch, options);
}

/** Finds JupyterLab on PATH, else in the cache, where it is installed if missing. */
export async function ensureJupyterLab(options?: JupyterOptions): Promise<JupyterLab> {
  return await (await import("./jupyter.ts")).ensureJupyterLab(options);
}

/** A private venv in the cache with one package, made unless it is there. @returns its folder */
export async function ensurePackageVenv(
  wanted: PythonPackage,
  options?: PackageVenvOptions,
): Promise<string> {
  return await (await import("./package-venv.ts")).ensurePackageVenv(wanted, options);
}

/** Creates the private venv unless it exists, and returns its folder. */
export async function ensureVenv(options?: VenvOptions): Promise<string> {
  return await (await import("./venv.ts")).ensureVenv(options);
}

/** Finds or installs libtorch, then builds the addon unless it is cached. */
export async function setup(options?: SetupOptions): Promise<SetupResult> {
  return await (await import("./setup.ts")).setup(options);
}
