// A private venv in the cache with one pinned package of Python's, made once and renamed when complete. Never the user's own
// environment.
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

import { cacheDir, makeFolder, UserError } from "../util/index.ts";
import { withLock } from "./lock.ts";
import { findPython3 } from "./python.ts";
import { lastLines, run, venvFailure } from "./venv.ts";

export interface PackageVenv {
  /** As pip knows it. */
  readonly name: string;
  readonly version: string;
  /** As people know it. */
  readonly label: string;
  /** What to do without Python, and where pip fails. Whole sentences. */
  readonly withoutPython: string;
  readonly advice: string;
}

export interface PackageVenvOptions {
  readonly onProgress?: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/** Makes it unless it is there. @returns its folder @throws UserError where there is no Python, or pip fails */
export async function ensurePackageVenv(
  wanted: PackageVenv,
  options: PackageVenvOptions = {},
): Promise<string> {
  const say = options.onProgress ?? (() => {});
  const venv = join(cacheDir(), `venv-${wanted.name}-${wanted.version}`);
  const isThere = (): boolean => existsSync(join(venv, "bin", "python"));
  if (isThere()) return venv;
  return await withLock(
    `${venv}.lock`,
    async () => {
      if (!isThere()) await makeVenv(venv, wanted, say, options.env ?? process.env);
      return venv;
    },
    (holder) => say(`waiting for process ${holder.split(" ")[0]}, which is installing ${wanted.label}`),
  );
}

async function makeVenv(
  venv: string,
  { name, version, label, withoutPython, advice }: PackageVenv,
  say: (line: string) => void,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const python = findPython3(env);
  if (python === undefined) {
    throw new UserError(
      `${label} needs Python, and there is no python3 on PATH. Install Python 3.10 or later with its venv module ` +
        `(Debian, Ubuntu: apt-get install python3 python3-venv)${withoutPython}`,
    );
  }
  const beside = `${venv}.${process.pid}.tmp`;
  const started = performance.now();
  const tell = (): void =>
    say(`installing ${label} ${version} ${((performance.now() - started) / 1000).toFixed(0)} s`);
  const ticker = setInterval(tell, 1_000);
  try {
    tell();
    makeFolder(dirname(venv));
    const created = await run(python, ["-m", "venv", beside], env);
    if (created.code !== 0) throw new UserError(venvFailure(python, created.text));
    const args = ["-m", "pip", "install", "--no-input", "--progress-bar", "off", `${name}==${version}`];
    const installed = await run(join(beside, "bin", "python"), args, env);
    if (installed.code !== 0) {
      throw new UserError(
        `pip could not install ${label} ${version}:\n${lastLines(installed.text)}\n` +
          `Check the network and pip's index (PIP_INDEX_URL, \`pip config list\`)${advice}`,
      );
    }
    rmSync(venv, { recursive: true, force: true });
    renameSync(beside, venv);
  } finally {
    clearInterval(ticker);
    rmSync(beside, { recursive: true, force: true });
  }
}
