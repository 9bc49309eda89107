// Finds libtorch: TORCHFORGE_LIBTORCH, then the active Python's torch, then the private venv. Installs and loads nothing, and
// starts Python at most once (the result is cached), because every process that uses a tensor comes through here.
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { cacheDir, messageOf, UserError } from "../util/index.ts";
import { findPython3, torchInPrefix, torchOfPython } from "./python.ts";

/** The version of torch in the private venv. */
export const pinnedVersion = "2.13.0";

/** The venv that `forge setup` creates if it finds no torch. */
export function privateVenvDir(): string {
  return join(cacheDir(), `venv-torch-${pinnedVersion}`);
}

/** The oldest libtorch against which the addon compiles. */
export const minimumVersion = "2.9.0";

export interface Libtorch {
  /** torch's own version string, e.g. `2.13.0+cpu`. */
  readonly version: string;
  /** Whether it is a CUDA build (has libtorch_cuda), with or without a GPU. */
  readonly cuda: boolean;
  /** Whether CUDA's and NCCL's headers were found, so that the addon can have NCCL process groups. */
  readonly ncclHeaders: boolean;
  readonly cxx11Abi: boolean;
  readonly libDir: string;
  /** The folder of ATen/, c10/ and torch/; for CUDA builds, also those of CUDA's and NCCL's headers. */
  readonly includeDirs: readonly string[];
  /** Where it was found, for messages: `TORCHFORGE_LIBTORCH`, `VIRTUAL_ENV`, `CONDA_PREFIX`, `python3`, `private venv`. */
  readonly from: string;
  /** The torch package or libtorch folder. */
  readonly root: string;
}

/** A torch that was found but can't be used, and why. */
export interface RejectedTorch {
  readonly from: string;
  readonly root: string;
  readonly reason: string;
}

export interface LocateResult {
  readonly libtorch: Libtorch | undefined;
  readonly rejected: readonly RejectedTorch[];
}

const sharedSuffix = process.platform === "darwin" ? ".dylib" : ".so";

/** The file name of a shared library: `libraryFile("torch_cpu")` is `libtorch_cpu.so`. */
export function libraryFile(name: string): string {
  return `lib${name}${sharedSuffix}`;
}

/**
 * Tries all candidates in order and returns the first usable libtorch.
 * @throws UserError if TORCHFORGE_LIBTORCH is set but unusable: an explicit choice is never skipped
 */
export function locateLibtorch(env: NodeJS.ProcessEnv = process.env): LocateResult {
  const explicit = env["TORCHFORGE_LIBTORCH"];
  if (explicit) return { libtorch: fromFolder(resolve(explicit)), rejected: [] };

  const rejected: RejectedTorch[] = [];
  for (const { from, find } of candidates(env)) {
    const root = find();
    if (root === undefined) continue;
    try {
      return { libtorch: describe(root, from), rejected };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      rejected.push({ from, root, reason: messageOf(error) });
    }
  }
  return { libtorch: undefined, rejected };
}

/** `locateLibtorch` for callers that need it. @throws UserError if none was found */
export function requireLibtorch(env: NodeJS.ProcessEnv = process.env): Libtorch {
  const { libtorch, rejected } = locateLibtorch(env);
  if (libtorch !== undefined) return libtorch;
  const why = rejected.map((r) => `\n  ${r.from} (${r.root}): ${r.reason}`).join("");
  throw new UserError(
    `libtorch was not found${why === "" ? "" : ", and what was found can't be used:"}${why}\n` +
      `Run \`npx torchforge setup\` to install torch in a private folder, activate a Python environment with ` +
      `torch ${minimumVersion} or later, or set TORCHFORGE_LIBTORCH to a libtorch folder.`,
  );
}

function candidates(env: NodeJS.ProcessEnv): { from: string; find: () => string | undefined }[] {
  const inPrefix = (name: string) => () => {
    const prefix = env[name];
    return prefix ? torchInPrefix(prefix) : undefined;
  };
  return [
    { from: "VIRTUAL_ENV", find: inPrefix("VIRTUAL_ENV") },
    { from: "CONDA_PREFIX", find: inPrefix("CONDA_PREFIX") },
    {
      from: "python3",
      find: () => {
        const python = findPython3(env);
        return python === undefined ? undefined : torchOfPython(python, env);
      },
    },
    { from: "private venv", find: () => torchInPrefix(privateVenvDir()) },
  ];
}

/** TORCHFORGE_LIBTORCH may be a torch package, a Python prefix that contains one, or an unpacked libtorch zip. */
function fromFolder(folder: string): Libtorch {
  const from = "TORCHFORGE_LIBTORCH";
  if (!existsSync(folder)) {
    throw new UserError(
      `TORCHFORGE_LIBTORCH: expected a libtorch or torch folder, found nothing at ${folder}. ` +
        `Set it to an unpacked libtorch, a Python environment, or a torch package; or unset it.`,
      { exitCode: 2 },
    );
  }
  return describe(torchInPrefix(folder) ?? folder, from);
}

/** Inspects a torch package or libtorch folder. @throws UserError if it can't be used */
export function describe(root: string, from: string): Libtorch {
  const version = readVersion(root);
  if (version === undefined) {
    throw new UserError(
      `${from}: expected torch/version.py or a build-version file, found neither in ${root}. ` +
        `It is not a torch package, a Python environment with torch, or an unpacked libtorch.`,
      { exitCode: 2 },
    );
  }
  if (compareVersions(version, minimumVersion) < 0) {
    throw new UserError(
      `${from}: expected torch ${minimumVersion} or later, found ${version} in ${root}. ` +
        `Upgrade it, or run \`npx torchforge setup\` outside of that environment to get a private one.`,
      { exitCode: 2 },
    );
  }
  // conda-forge splits the package: libraries and headers are in the prefix, four folders above torch/.
  const prefix = resolve(root, "..", "..", "..", "..");
  const libDir = firstWith([join(root, "lib"), join(prefix, "lib")], libraryFile("torch_cpu"));
  if (libDir === undefined) {
    throw new UserError(
      `${from}: torch ${version} in ${root} has no ${libraryFile("torch_cpu")}. Reinstall it, or choose another ` +
        `with TORCHFORGE_LIBTORCH.`,
      { exitCode: 2 },
    );
  }
  const headers = firstWith([join(root, "include"), join(prefix, "include")], join("ATen", "ATen.h"));
  if (headers === undefined) {
    throw new UserError(
      `${from}: torch ${version} in ${root} comes without its C++ headers (no include/ATen/ATen.h). ` +
        `Install torch with pip, or choose another with TORCHFORGE_LIBTORCH.`,
      { exitCode: 2 },
    );
  }
  const cuda = existsSync(join(libDir, libraryFile("torch_cuda")));
  const cudaHeaders = cuda ? cudaIncludeDirs(root) : [];
  return {
    version,
    cuda,
    ncclHeaders: ["nccl.h", "cuda_runtime_api.h"].every((file) => firstWith(cudaHeaders, file) !== undefined),
    cxx11Abi: readAbi(root),
    libDir: realpathSync(libDir),
    includeDirs: [headers, join(headers, "torch", "csrc", "api", "include"), ...cudaHeaders],
    from,
    root,
  };
}

function firstWith(folders: string[], file: string): string | undefined {
  return folders.find((folder) => existsSync(join(folder, file)));
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function readVersion(root: string): string | undefined {
  const python = readText(join(root, "version.py"));
  if (python !== undefined) return /^__version__\s*(?::[^=]*)?=\s*['"]([^'"]+)['"]/m.exec(python)?.[1];
  return readText(join(root, "build-version"))?.trim();
}

/** The libstdc++ string ABI of this torch. A wrong guess shows as unresolved symbols when the addon is loaded. */
function readAbi(root: string): boolean {
  const cmake = readText(join(root, "share", "cmake", "Torch", "TorchConfig.cmake"));
  return !/_GLIBCXX_USE_CXX11_ABI=0/.test(cmake ?? "");
}

/** Folders of CUDA's and NCCL's headers: the nvidia-* wheels next to torch, then a toolkit. */
function cudaIncludeDirs(root: string): string[] {
  const dirs: string[] = [];
  const nvidia = join(dirname(root), "nvidia");
  if (existsSync(nvidia)) {
    for (const name of readdirSync(nvidia).sort()) {
      const include = join(nvidia, name, "include");
      if (existsSync(include)) dirs.push(include);
    }
  }
  const toolkit = process.env["CUDA_HOME"] || "/usr/local/cuda";
  if (existsSync(join(toolkit, "include"))) dirs.push(join(toolkit, "include"));
  return dirs;
}

/** Compares the numeric parts of two versions; suffixes (`+cpu`, `a0`, `.dev1`) are ignored. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbersOf(version: string): number[] {
  return (/^\d+(\.\d+)*/.exec(version)?.[0] ?? "0").split(".").map(Number);
}
