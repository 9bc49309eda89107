// Finds libtorch: TORCHFORGE_LIBTORCH, then the torch of the active Python, then the private venv.
// It does not install or load anything, and starts a Python at most once (the answer is cached), because every
// process that uses a tensor passes here first.
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { cacheDir, messageOf, UserError } from "../util/index.ts";
import { findPython3, torchInPrefix, torchOfPython } from "./python.ts";

/** The torch that the private venv gets. */
export const pinnedVersion = "2.13.0";

/** The venv that `forge setup` makes when no torch is found. */
export function privateVenvDir(): string {
  return join(cacheDir(), `venv-torch-${pinnedVersion}`);
}

/** The oldest libtorch whose C++ interface the addon compiles against. */
export const minimumVersion = "2.9.0";

export interface Libtorch {
  /** As torch itself spells it, e.g. `2.13.0+cpu`. */
  readonly version: string;
  /** A CUDA build (has libtorch_cuda); says nothing about whether a GPU is there. */
  readonly cuda: boolean;
  /** CUDA's and NCCL's headers are there too, so the addon gets process groups on NCCL. */
  readonly ncclHeaders: boolean;
  readonly cxx11Abi: boolean;
  readonly libDir: string;
  /** The folder that holds ATen/, c10/ and torch/; then further ones (CUDA's and NCCL's headers, for CUDA builds). */
  readonly includeDirs: readonly string[];
  /** Where it was found, for people: `TORCHFORGE_LIBTORCH`, `VIRTUAL_ENV`, `CONDA_PREFIX`, `python3`, `private venv`. */
  readonly from: string;
  /** The torch package or libtorch folder. */
  readonly root: string;
}

/** A torch that was there but can't be used, and why. */
export interface Rejected {
  readonly from: string;
  readonly root: string;
  readonly reason: string;
}

export interface Located {
  readonly libtorch: Libtorch | undefined;
  readonly rejected: readonly Rejected[];
}

const sharedSuffix = process.platform === "darwin" ? ".dylib" : ".so";

/** The file of a shared library, by its bare name: `libraryFile("torch_cpu")` is `libtorch_cpu.so`. */
export function libraryFile(name: string): string {
  return `lib${name}${sharedSuffix}`;
}

/**
 * Looks in each place in order and returns the first usable libtorch.
 * @throws UserError when TORCHFORGE_LIBTORCH is set and holds none: an explicit choice is never passed over.
 */
export function locateLibtorch(env: NodeJS.ProcessEnv = process.env): Located {
  const explicit = env["TORCHFORGE_LIBTORCH"];
  if (explicit) return { libtorch: fromFolder(resolve(explicit)), rejected: [] };

  const rejected: Rejected[] = [];
  for (const { from, find } of places(env)) {
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

/** `locateLibtorch` for callers that can't go on without it. */
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

function places(env: NodeJS.ProcessEnv): { from: string; find: () => string | undefined }[] {
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

/** TORCHFORGE_LIBTORCH: a torch package, a Python prefix that holds one, or the folder of a libtorch zip. */
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

/** Reads what lies in a torch package or libtorch folder. Throws a UserError when it can't be used. */
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
  // conda-forge splits the package: libraries and headers lie in the prefix, four folders above torch/.
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

/** libstdc++'s string ABI that this torch was built with; a wrong guess shows up as unresolved symbols at load. */
function readAbi(root: string): boolean {
  const cmake = readText(join(root, "share", "cmake", "Torch", "TorchConfig.cmake"));
  return !/_GLIBCXX_USE_CXX11_ABI=0/.test(cmake ?? "");
}

/** CUDA's and NCCL's headers: the nvidia-* wheels beside torch, then a toolkit. Empty folders are no harm. */
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

/** Compares the numbers of two versions; what follows them (`+cpu`, `a0`, `.dev1`) is ignored. */
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
