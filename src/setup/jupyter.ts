// Finds JupyterLab on PATH, else installs it once into a private venv in the cache. Never changes the user's own environment.
import { spawnSync } from "node:child_process";
import { join } from "node:path";

import { ensurePackageVenv, type PackageVenvOptions } from "./package-venv.ts";
import { findOnPath } from "./python.ts";

/** The version in the private venv. */
export const pinnedJupyterLab = "4.6.6";

export interface JupyterLab {
  /** Program and first arguments, which Jupyter's own follow. */
  readonly command: readonly string[];
  readonly from: "PATH" | "private venv";
}

export type JupyterOptions = PackageVenvOptions;

/** The JupyterLab on PATH, if it starts: a version manager's shim may exist without an installation. */
export function findJupyterLab(env: NodeJS.ProcessEnv = process.env): JupyterLab | undefined {
  const program = findOnPath("jupyter-lab", env);
  if (program === undefined) return undefined;
  const { status } = spawnSync(program, ["--version"], { env, stdio: "ignore", timeout: 60_000 });
  return status === 0 ? { command: [program], from: "PATH" } : undefined;
}

/** Finds JupyterLab, or installs it. @throws UserError if there is no Python, or pip fails */
export async function ensureJupyterLab(options: JupyterOptions = {}): Promise<JupyterLab> {
  const found = findJupyterLab(options.env ?? process.env);
  if (found !== undefined) return found;
  const venv = await ensurePackageVenv(
    {
      name: "jupyterlab",
      version: pinnedJupyterLab,
      label: "JupyterLab",
      withoutPython: ", or use VS Code: `npx torchforge notebook --kernel-only`.",
      advice:
        ", or install JupyterLab yourself, so that `jupyter-lab` is on PATH, and run `npx torchforge notebook` again.",
    },
    options,
  );
  return { command: [join(venv, "bin", "python"), "-m", "jupyterlab"], from: "private venv" };
}
