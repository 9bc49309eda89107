// Compiles the addon: one object per unit (addon-key.ts), linked into torchforge.node. Objects are cached one by one, so a change
// of one source compiles one source. Where many are to be compiled, libtorch's headers are parsed once for all of them
// (native/precompiled.h). It does not decide which libtorch, and never loads what it built.
import { spawn, type ChildProcess } from "node:child_process";
import { copyFileSync, existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";

import { cacheDir, makeFolder, makeWorkFolder, UserError } from "../util/index.ts";
import {
  addonTarget,
  compileFlags,
  hashOf,
  nativeDir,
  processorIdentity,
  readSources,
  type SourceFile,
} from "./addon-key.ts";
import { requireCompiler, type Compiler } from "./compiler.ts";
import type { Libtorch } from "./locate.ts";
import { withLock } from "./lock.ts";
import { availableMemory } from "./machine.ts";

/** Approximate peak memory of a compiler that reads torch's headers. */
const bytesPerCompiler = 1.5 * 2 ** 30;

/** Sources for each compiler at once from which on parsing libtorch's headers first takes less time than it saves. */
const precompileFrom = 3;

export interface BuildOptions {
  /** Folder of the sources; for tests. Default: the package's `native/`. */
  readonly dir?: string;
  /** Called with a short line of progress. */
  readonly onProgress?: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
}

interface Unit {
  readonly source: SourceFile;
  readonly object: string;
}

/** Builds the addon unless it exists, and returns its path. Safe to call from several processes at once. */
export async function buildAddon(libtorch: Libtorch, options: BuildOptions = {}): Promise<string> {
  const target = addonTarget(libtorch, options.dir ?? nativeDir);
  if (existsSync(target.file)) return target.file;
  const report = options.onProgress ?? (() => {});
  const lock = join(cacheDir(), "addons", `${target.key}.lock`);
  return await withLock(
    lock,
    async () => {
      if (!existsSync(target.file))
        await new Build(libtorch, target, report, options.env ?? process.env).run();
      return target.file;
    },
    (holder) => report(`waiting for process ${holder.split(" ")[0]}, which is building the addon`),
  );
}

/**
 * `at::parallel_for` is a template with an OpenMP pragma in it: without the flag our own kernels run on one thread. The
 * linker doesn't get it, so that the symbols come from the libgomp that libtorch brought and both share one pool of
 * threads. Clang's OpenMP calls another runtime, which isn't there.
 */
function threadFlags({ version }: Compiler): string[] {
  return /clang/i.test(version) ? [] : ["-fopenmp"];
}

class Build {
  readonly #libtorch: Libtorch;
  readonly #target: ReturnType<typeof addonTarget>;
  readonly #report: (line: string) => void;
  readonly #env: NodeJS.ProcessEnv;
  readonly #compiler: Compiler;
  readonly #log: string;
  readonly #started = performance.now();
  readonly #running = new Set<ChildProcess>();
  /** Flags that take the precompiled header, once it is there. */
  #precompiled: readonly string[] = [];

  constructor(
    libtorch: Libtorch,
    target: ReturnType<typeof addonTarget>,
    report: (line: string) => void,
    env: NodeJS.ProcessEnv,
  ) {
    this.#libtorch = libtorch;
    this.#target = target;
    this.#report = report;
    this.#env = env;
    this.#compiler = requireCompiler(env);
    this.#log = join(cacheDir(), "addons", `${target.key}.log`);
  }

  async run(): Promise<void> {
    const { units } = readSources(this.#target.dir, this.#libtorch.ncclHeaders);
    if (units.length === 0) throw new Error(`no .cc files in ${this.#target.dir}`);
    writeFileSync(this.#log, `${this.#compiler.version}\n${this.#libtorch.version} ${this.#libtorch.root}\n`);
    const objects = units.map((source) => ({ source, object: this.#objectFile(source) }));
    const missing = objects.filter(({ object }) => !existsSync(object));
    const ticker = setInterval(() => this.#progress(objects, missing), 1_000);
    try {
      await this.#compileAll(objects, missing);
      await this.#link(objects);
    } finally {
      clearInterval(ticker);
      for (const child of this.#running) child.kill();
    }
  }

  #progress(all: Unit[], missing: Unit[]): void {
    const done = all.length - missing.filter(({ object }) => !existsSync(object)).length;
    this.#report(`building the addon ${done}/${all.length} ${this.#seconds()} s`);
  }

  #seconds(): string {
    return ((performance.now() - this.#started) / 1000).toFixed(0);
  }

  #objectFile(source: SourceFile): string {
    const key = hashOf(
      source.hash,
      ...compileFlags(this.#libtorch),
      ...threadFlags(this.#compiler),
      ...this.#libtorch.includeDirs,
      this.#libtorch.version,
      this.#compiler.command.join(" "),
      this.#compiler.version,
      processorIdentity(),
    );
    return join(cacheDir(), "objects", `${source.name.replaceAll(/[^\w.]/g, "_")}-${key}.o`);
  }

  async #compileAll(all: Unit[], missing: Unit[]): Promise<void> {
    makeFolder(join(cacheDir(), "objects"));
    // The longest first: none of them is left when the others are done.
    const queue = missing.toSorted((a, b) => b.source.bytes - a.source.bytes);
    this.#progress(all, missing);
    const worker = async (first?: Promise<void>) => {
      await first;
      for (let unit = queue.shift(); unit !== undefined; unit = queue.shift()) {
        await this.#compile(unit);
        this.#progress(all, missing);
      }
    };
    const jobs = parallelCompilers(missing.length, this.#env);
    const header = join(this.#target.dir, "precompiled.h");
    // Hundreds of megabytes that only the next change of many sources could use: they don't stay.
    const folder =
      missing.length >= precompileFrom * jobs && existsSync(header)
        ? makeWorkFolder("precompiled", join(cacheDir(), "objects"))
        : undefined;
    try {
      // The other compilers begin meanwhile, without it.
      await Promise.all(
        Array.from({ length: jobs }, (_, i) =>
          worker(i === 0 && folder !== undefined ? this.#precompile(header, folder) : undefined),
        ),
      );
    } finally {
      // After a failure nothing further is compiled.
      queue.length = 0;
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    }
  }

  get #flags(): string[] {
    const includes = [...this.#libtorch.includeDirs, nodeApiHeaders(), this.#target.dir];
    return [
      ...compileFlags(this.#libtorch),
      ...threadFlags(this.#compiler),
      ...includes.flatMap((dir) => ["-isystem", dir]),
    ];
  }

  /** Without it everything compiles as well, only slower: a failure (a full disk, say) is noted in the log alone. */
  async #precompile(header: string, folder: string): Promise<void> {
    const isClang = /clang/i.test(this.#compiler.version);
    // g++ takes NAME.gch in place of NAME where it is included.
    const copy = join(folder, "precompiled.h");
    const output = `${copy}.${isClang ? "pch" : "gch"}`;
    copyFileSync(header, copy);
    try {
      await this.#execute("precompiled.h", [...this.#flags, "-x", "c++-header", copy, "-o", output]);
      this.#precompiled = isClang ? ["-include-pch", output] : ["-include", copy];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
  }

  async #compile({ source, object }: Unit): Promise<void> {
    const temporary = `${object}.${process.pid}.tmp`;
    const args = ["-c", source.path, "-o", temporary];
    const precompiled = this.#precompiled;
    try {
      await this.#execute(source.name, [...this.#flags, ...precompiled, ...args]);
    } catch (error) {
      // Compilers can refuse a header of their own (an address that is taken): then without it, and for the others, too.
      if (precompiled.length === 0 || !(error instanceof UserError)) throw error;
      this.#precompiled = [];
      await this.#execute(source.name, [...this.#flags, ...args]);
    }
    renameSync(temporary, object);
  }

  async #link(units: Unit[]): Promise<void> {
    const { libDir, cuda } = this.#libtorch;
    const folder = dirname(this.#target.file);
    const temporary = `${folder}.${process.pid}.tmp`;
    makeFolder(temporary);
    try {
      await this.#execute("linking", [
        "-shared",
        "-o",
        join(temporary, "torchforge.node"),
        ...units.map(({ object }) => object),
        `-L${libDir}`,
        // DT_RPATH, not RUNPATH: another libtorch on LD_LIBRARY_PATH must not be mixed with these headers.
        ...(process.platform === "darwin"
          ? [`-Wl,-rpath,${libDir}`, "-undefined", "dynamic_lookup"]
          : [`-Wl,-rpath,${libDir}`, "-Wl,--disable-new-dtags", "-Wl,--no-as-needed"]),
        "-ltorch",
        "-ltorch_cpu",
        "-lc10",
        ...(cuda ? ["-ltorch_cuda", "-lc10_cuda"] : []),
      ]);
      rmSync(folder, { recursive: true, force: true });
      renameSync(temporary, folder);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  }

  async #execute(what: string, args: string[]): Promise<void> {
    const [program, ...prefix] = this.#compiler.command;
    const output = await new Promise<{ code: number | null; text: string }>((done, fail) => {
      const child = spawn(program, [...prefix, ...args], {
        env: { ...this.#env, LC_ALL: "C" },
        stdio: ["ignore", "pipe", "pipe"],
      });
      this.#running.add(child);
      let text = "";
      const collect = (chunk: Buffer) => (text += chunk.toString());
      child.stdout.on("data", collect);
      child.stderr.on("data", collect);
      child.on("error", fail);
      child.on("close", (code) => {
        this.#running.delete(child);
        done({ code, text });
      });
    });
    writeFileSync(this.#log, `\n$ ${program} ${[...prefix, ...args].join(" ")}\n${output.text}`, {
      flag: "a",
    });
    if (output.code !== 0) throw new UserError(this.#failure(what, output.code, output.text));
  }

  #failure(what: string, code: number | null, text: string): string {
    const lines = text.split("\n");
    const errors = lines.filter((line) => /\b(fatal )?error\b|undefined (reference|symbol)|ld:/i.test(line));
    const shownLines = (errors.length > 0 ? errors : lines.slice(0, 10))
      .slice(0, 5)
      .map((line) => `  ${line}`);
    const killed = code === null || /Killed|cannot allocate|out of memory/i.test(text);
    const hint = killed
      ? "\nThe compiler was stopped, most likely for lack of memory: try TORCHFORGE_BUILD_JOBS=1."
      : "";
    return (
      `Building the addon failed at ${what} (${this.#compiler.version}, torch ${this.#libtorch.version}):\n` +
      `${shownLines.join("\n")}${hint}\nThe full log: ${this.#log}`
    );
  }
}

/** TORCHFORGE_BUILD_JOBS, else limited by cores, sources and memory. */
function parallelCompilers(sources: number, env: NodeJS.ProcessEnv): number {
  const requestedJobs = Number(env["TORCHFORGE_BUILD_JOBS"]);
  const limit = requestedJobs >= 1 ? requestedJobs : Math.floor(availableMemory() / bytesPerCompiler);
  return Math.max(1, Math.min(availableParallelism(), sources, limit));
}

function nodeApiHeaders(): string {
  const main = createRequire(import.meta.url).resolve("node-api-headers/package.json");
  return resolve(dirname(main), "include");
}
