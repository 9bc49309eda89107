// JupyterLab: the one that is there, else one in a private venv in the cache, made once. Never the user's own environment.
import { spawnSync } from "node:child_process";
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

import { cacheDir, makeFolder, UserError } from "../util/index.ts";
import { withLock } from "./lock.ts";
import { findOnPath, findPython3 } from "./python.ts";
import { lastLines, run, venvFailure } from "./venv.ts";

/** What the private venv gets. */
export const pinnedJupyterLab = "4.6.6";

export interface JupyterLab {
  /** Program and first arguments; Jupyter's own follow. */
  readonly command: readonly string[];
  readonly from: "PATH" | "private venv";
}

export interface JupyterOptions {
  readonly onProgress?: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/** The JupyterLab on PATH, if it starts (a version manager's shim may be there without anything behind it). */
export function findJupyterLab(env: NodeJS.ProcessEnv = process.env): JupyterLab | undefined {
  const program = findOnPath("jupyter-lab", env);
  if (program === undefined) return undefined;
  const { status } = spawnSync(program, ["--version"], { env, stdio: "ignore", timeout: 60_000 });
  return status === 0 ? { command: [program], from: "PATH" } : undefined;
}

/** Finds JupyterLab, or installs it. @throws UserError where there is no Python, or pip fails */
export async function ensureJupyterLab(options: JupyterOptions = {}): Promise<JupyterLab> {
  const env = options.env ?? process.env;
  const say = options.onProgress ?? (() => {});
  const found = findJupyterLab(env);
  if (found !== undefined) return found;
  const venv = join(cacheDir(), `venv-jupyterlab-${pinnedJupyterLab}`);
  const python = join(venv, "bin", "python");
  if (!existsSync(python)) {
    await withLock(
      `${venv}.lock`,
      async () => {
        if (!existsSync(python)) await makeVenv(venv, say, env);
      },
      (holder) => say(`waiting for process ${holder.split(" ")[0]}, which is installing JupyterLab`),
    );
  }
  return { command: [python, "-m", "jupyterlab"], from: "private venv" };
}

async function makeVenv(venv: string, say: (line: string) => void, env: NodeJS.ProcessEnv): Promise<void> {
  const python = findPython3(env);
  if (python === undefined) {
    throw new UserError(
      "JupyterLab needs Python, and there is no python3 on PATH. Install Python 3.10 or later with its venv module " +
        "(Debian, Ubuntu: apt-get install python3 python3-venv), or use VS Code: `npx torchforge notebook --kernel-only`.",
    );
  }
  const beside = `${venv}.${process.pid}.tmp`;
  const started = performance.now();
  const tell = (): void =>
    say(`installing JupyterLab ${pinnedJupyterLab} ${((performance.now() - started) / 1000).toFixed(0)} s`);
  const ticker = setInterval(tell, 1_000);
  try {
    tell();
    makeFolder(dirname(venv));
    const created = await run(python, ["-m", "venv", beside], env);
    if (created.code !== 0) throw new UserError(venvFailure(python, created.text));
    const args = [
      "-m",
      "pip",
      "install",
      "--no-input",
      "--progress-bar",
      "off",
      `jupyterlab==${pinnedJupyterLab}`,
    ];
    const installed = await run(join(beside, "bin", "python"), args, env);
    if (installed.code !== 0) {
      throw new UserError(
        `pip could not install JupyterLab ${pinnedJupyterLab}:\n${lastLines(installed.text)}\n` +
          "Check the network and pip's index (PIP_INDEX_URL, `pip config list`), or install JupyterLab yourself, so " +
          "that `jupyter-lab` is on PATH, and run `npx torchforge notebook` again.",
      );
    }
    rmSync(venv, { recursive: true, force: true });
    renameSync(beside, venv);
  } finally {
    clearInterval(ticker);
    rmSync(beside, { recursive: true, force: true });
  }
}
