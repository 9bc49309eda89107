// Finds the C++ compiler: $CXX, else c++, g++ or clang++ on PATH. Only building the addon needs one, loading it doesn't.
import { UserError } from "../util/index.ts";
import { findOnPath } from "./python.ts";

export interface Compiler {
  /** Program and arguments: $CXX may contain a wrapper ("ccache g++"). */
  readonly command: readonly [string, ...string[]];
  /** The first line of `--version`. */
  readonly version: string;
}

const packages =
  "  Debian, Ubuntu:  apt-get install g++\n" +
  "  Fedora, RHEL:    dnf install gcc-c++\n" +
  "  macOS:           xcode-select --install\n" +
  "  conda:           conda install -c conda-forge cxx-compiler";

/** The compiler, or undefined if there is none. @throws UserError if $CXX is set but doesn't run */
export function findCompiler(env: NodeJS.ProcessEnv = process.env): Compiler | undefined {
  const fromEnv = env["CXX"]?.trim();
  if (fromEnv) {
    const [program, ...args] = fromEnv.split(/\s+/) as [string, ...string[]];
    const version = versionOf([program, ...args], env);
    if (version === undefined) {
      throw new UserError(
        `CXX: expected a C++ compiler, found "${fromEnv}", which does not run. ` +
          `Set CXX to a compiler with C++20 (g++ 11 or later, clang++ 15 or later), or unset it.`,
        { exitCode: 2 },
      );
    }
    return { command: [program, ...args], version };
  }
  for (const name of ["c++", "g++", "clang++"]) {
    const program = findOnPath(name, env);
    const version = program === undefined ? undefined : versionOf([program], env);
    if (program !== undefined && version !== undefined) return { command: [program], version };
  }
  return undefined;
}

/** @throws UserError that names the packages to install */
export function requireCompiler(env: NodeJS.ProcessEnv = process.env): Compiler {
  const compiler = findCompiler(env);
  if (compiler === undefined) throw new UserError(missingCompiler());
  const ageProblem = tooOld(compiler);
  if (ageProblem !== undefined) throw new UserError(ageProblem);
  return compiler;
}

export function missingCompiler(): string {
  return (
    "torchforge compiles its addon once, and there is no C++ compiler on PATH " +
    `(looked for c++, g++ and clang++). Install one:\n${packages}\nor set CXX to one with C++20.`
  );
}

/** The error message for a compiler that is too old, or undefined. */
export function tooOld(compiler: Compiler): string | undefined {
  const clang = /clang version (\d+)/.exec(compiler.version);
  const minimum = clang ? 15 : 11;
  const major = Number(clang?.[1] ?? /\)\s+(\d+)\./.exec(compiler.version)?.[1] ?? Number.NaN);
  if (Number.isNaN(major) || major >= minimum) return undefined;
  return (
    `torchforge's addon needs C++20: expected ${clang ? "clang" : "g++"} ${minimum} or later, found ` +
    `"${compiler.version}". Install a newer one and set CXX to it:\n${packages}`
  );
}

function versionOf(command: readonly [string, ...string[]], env: NodeJS.ProcessEnv): string | undefined {
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const run = spawnSync(command[0], [...command.slice(1), "--version"], {
    encoding: "utf8",
    env,
    timeout: 20_000,
    stdio: ["ignore", "pipe", "ignore"],
  });
  return run.status === 0 ? run.stdout.split("\n")[0]!.trim() : undefined;
}
