// Computes the cache key of the compiled addon: equal keys mean equal binaries. Starts no processes, because every process that
// uses a tensor computes the key.
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { arch, cpus, platform } from "node:os";
import { dirname, join, relative, resolve } from "node:path";

import { cacheDir } from "../util/index.ts";
import type { Libtorch } from "./locate.ts";

/** The package's C++ sources: `native/`, next to `src/` or `dist/`. */
export const nativeDir = resolve(import.meta.dirname, "..", "..", "native");

const nodeApiVersion = 9;

export interface SourceFile {
  readonly path: string;
  /** Path relative to the sources' folder, with forward slashes. */
  readonly name: string;
  /** Hash of the file and of the package's files that it includes. */
  readonly hash: string;
  /** Size of what is compiled: the file and the sources that it includes, without headers. */
  readonly bytes: number;
}

export interface NativeSources {
  readonly dir: string;
  /**
   * The .cc files to compile, sorted by name: those that no other includes. A file of `units/` includes several that mostly
   * instantiate the same templates of libtorch, so that they are instantiated once. Those that need NCCL only if its headers
   * were found.
   */
  readonly units: readonly SourceFile[];
}

export interface AddonTarget {
  readonly key: string;
  /** Path of the binary, which may not exist yet. */
  readonly file: string;
  /** The sources' folder. */
  readonly dir: string;
}

/** Sources for builds with CUDA, whose headers and NCCL's are there; -DTORCHFORGE_CUDA tells the others that they are compiled in. */
const cudaOnly: ReadonlySet<string> = new Set(["comm/nccl.cc"]);

export function hashOf(...parts: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex").slice(0, 24);
}

/** The package's files that a file includes, directly or indirectly, with their contents. Without system headers. */
function includedBy(path: string, dir: string, found = new Map<string, Buffer>()): Map<string, Buffer> {
  for (const [, quoted] of readFileSync(path, "utf8").matchAll(/^\s*#\s*include\s*["<]([^">]+)[">]/gm)) {
    const included = [join(dirname(path), quoted!), join(dir, quoted!)].find((one) => existsSync(one));
    if (included === undefined || found.has(included)) continue;
    found.set(included, readFileSync(included));
    includedBy(included, dir, found);
  }
  return found;
}

export function readSources(dir: string, nccl: boolean): NativeSources {
  const units: SourceFile[] = [];
  const parts = new Set<string>();
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = relative(dir, path).replaceAll("\\", "/");
    if (!name.endsWith(".cc") || (!nccl && cudaOnly.has(name))) continue;
    const included = [...includedBy(path, dir)].sort(([a], [b]) => (a < b ? -1 : 1));
    const sources = included.filter(([file]) => file.endsWith(".cc"));
    for (const [file] of sources) parts.add(file);
    const text = readFileSync(path);
    const bytes = sources.reduce((sum, [, content]) => sum + content.length, text.length);
    units.push({ path, name, hash: hashOf(name, text, ...included.map(([, content]) => content)), bytes });
  }
  units.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { dir, units: units.filter(({ path }) => !parts.has(path)) };
}

/** Flags of all compilations, without include folders. */
export function compileFlags(libtorch: Libtorch): string[] {
  return [
    "-O3",
    "-std=c++20",
    "-fPIC",
    "-fvisibility=hidden",
    arch() === "arm64" ? "-mcpu=native" : "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    `-D_GLIBCXX_USE_CXX11_ABI=${libtorch.cxx11Abi ? 1 : 0}`,
    `-DNAPI_VERSION=${nodeApiVersion}`,
    "-DUSE_DISTRIBUTED",
    "-DUSE_C10D_GLOO",
    ...(libtorch.ncclHeaders ? ["-DUSE_C10D_NCCL", "-DTORCHFORGE_CUDA"] : []),
  ];
}

/**
 * The addon for this libtorch, these sources and this processor. The compiler isn't part of the key: a binary keeps working if
 * its compiler is upgraded or removed (as in the last stage of a container image).
 */
export function addonTarget(libtorch: Libtorch, dir: string = nativeDir): AddonTarget {
  const key = [
    `torch-${libtorch.version}`.replaceAll(/[^\w.+-]/g, "_"),
    libtorch.cuda ? "cuda" : "cpu",
    hashOf(
      libtorch.libDir, // part of the binary, as its run path
      ...allSources(dir),
      ...compileFlags(libtorch),
      processorIdentity(),
    ),
  ].join("-");
  return { key, file: join(cacheDir(), "addons", key, "torchforge.node"), dir };
}

/**
 * Names and contents of all sources and headers, without CUDA kernels, which are compiled when they run. Which of them a unit
 * includes is left to the build: to find that out takes ten times as long.
 */
function allSources(dir: string): (string | Buffer)[] {
  const names = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\.(cc|h)$/.test(name),
  );
  return names.sort().flatMap((name) => [name.replaceAll("\\", "/"), readFileSync(join(dir, name))]);
}

let processor: string | undefined;

/** Architecture and instruction set, since -march=native compiles for one kind of processor. */
export function processorIdentity(): string {
  processor ??= `${platform()} ${arch()} ${linuxProcessor() ?? cpus()[0]?.model ?? ""}`;
  return processor;
}

/** The first processor's model and flags. The rest of /proc/cpuinfo repeats them, and is slow to read on large machines. */
function linuxProcessor(): string | undefined {
  try {
    const descriptor = openSync("/proc/cpuinfo", "r");
    try {
      const buffer = Buffer.alloc(8192);
      const text = buffer.toString("latin1", 0, readSync(descriptor, buffer, 0, buffer.length, 0));
      const lines = text.match(/^(model name|flags|Features|CPU part)\s*:.*$/gm);
      return lines === null ? undefined : [...new Set(lines)].slice(0, 3).join(";");
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return undefined;
  }
}
