// Creates a private venv in the cache with one pinned Python package. It is renamed when complete, and never touches the user's
// own environment.
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

import { cacheDir, makeFolder, UserError } from "../util/index.ts";
import { withLock } from "./lock.ts";
import { findPython3 } from "./python.ts";
import { lastLines, rewriteScriptPaths, run, venvFailure, pipInstall } from "./venv.ts";

export interface PythonPackage {
  /** The name on PyPI. */
  readonly name: string;
  readonly version: string;
  /** The name in messages. */
  readonly label: string;
  /** Ends of the sentences that say what to do without Python, and if pip fails. */
  readonly withoutPython: string;
  readonly advice: string;
}

export interface PackageVenvOptions {
  readonly onProgress?: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/** Creates the venv unless it exists, and returns its folder. @throws UserError if there is no Python, or pip fails */
export async function ensurePackageVenv(
  pythonPackage: PythonPackage,
  options: PackageVenvOptions = {},
): Promise<string> {
  const report = options.onProgress ?? (() => {});
  const venv = join(cacheDir(), `venv-${pythonPackage.name}-${pythonPackage.version}`);
  const exists = (): boolean => existsSync(join(venv, "bin", "python"));
  if (exists()) return venv;
  return await withLock(
    `${venv}.lock`,
    async () => {
      if (!exists()) await makeVenv(venv, pythonPackage, report, options.env ?? process.env);
      return venv;
    },
    (holder) =>
      report(`waiting for process ${holder.split(" ")[0]}, which is installing ${pythonPackage.label}`),
  );
}

async function makeVenv(
  venv: string,
  { name, version, label, withoutPython, advice }: PythonPackage,
  report: (line: string) => void,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const python = findPython3(env);
  if (python === undefined) {
    throw new UserError(
      `${label} needs Python, and there is no python3 on PATH. Install Python 3.10 or later with its venv module ` +
        `(Debian, Ubuntu: apt-get install python3 python3-venv)${withoutPython}`,
    );
  }
  const temporary = `${venv}.${process.pid}.tmp`;
  const started = performance.now();
  const reportProgress = (): void =>
    report(`installing ${label} ${version} ${((performance.now() - started) / 1000).toFixed(0)} s`);
  const ticker = setInterval(reportProgress, 1_000);
  try {
    reportProgress();
    makeFolder(dirname(venv));
    const created = await run(python, ["-m", "venv", temporary], env);
    if (created.code !== 0) throw new UserError(venvFailure(python, created.text));
    const args = [...pipInstall, `${name}==${version}`];
    const installed = await run(join(temporary, "bin", "python"), args, env);
    if (installed.code !== 0) {
      throw new UserError(
        `pip could not install ${label} ${version}:\n${lastLines(installed.text)}\n` +
          `Check the network and pip's index (PIP_INDEX_URL, \`pip config list\`)${advice}`,
      );
    }
    rewriteScriptPaths(temporary, venv);
    rmSync(venv, { recursive: true, force: true });
    renameSync(temporary, venv);
  } finally {
    clearInterval(ticker);
    rmSync(temporary, { recursive: true, force: true });
  }
}
