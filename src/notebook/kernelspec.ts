// Registers the kernel with Jupyter: a kernel.json in a folder that Jupyter, JupyterLab and VS Code search.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

import { kernelProgram } from "./kernel/programs.ts";
import { noteInstalled } from "./kernel/project-kernel.ts";
import { makeFolder, type Environment } from "../util/index.ts";

/** The kernel's name, which notebooks store. */
export const kernelName = "torchforge";

export interface KernelSpec {
  readonly argv: readonly string[];
  readonly display_name: string;
  readonly language: string;
  readonly interrupt_mode: "message";
}

/** Starts this package's kernel with the current Node. */
export function kernelSpec(): KernelSpec {
  return {
    argv: [process.execPath, kernelProgram, "{connection_file}"],
    display_name: "TypeScript (torchforge)",
    language: "typescript",
    interrupt_mode: "message",
  };
}

/** The user's Jupyter data folder: `JUPYTER_DATA_DIR`, else this system's default. */
export function jupyterDataDir(env: Environment = process.env, platform: string = process.platform): string {
  if (env["JUPYTER_DATA_DIR"]) return env["JUPYTER_DATA_DIR"];
  if (platform === "linux" && env["XDG_DATA_HOME"]) return join(env["XDG_DATA_HOME"], "jupyter");
  if (platform === "win32" && env["APPDATA"]) return join(env["APPDATA"], "jupyter");
  return vsCodeDataDir(env, platform);
}

/**
 * Where VS Code's Jupyter extension looks for the user's kernels: below the home folder, regardless of JUPYTER_DATA_DIR.
 * Source: microsoft/vscode-jupyter, src/kernels/raw/finder/jupyterPaths.node.ts.
 */
export function vsCodeDataDir(env: Environment = process.env, platform: string = process.platform): string {
  const home = env["HOME"] || homedir();
  if (platform === "darwin") return join(home, "Library", "Jupyter");
  if (platform === "win32") return join(env["USERPROFILE"] || home, "AppData", "Roaming", "jupyter");
  return join(home, ".local", "share", "jupyter");
}

/** Writes or replaces kernel.json, and notes that this kernel was installed (project-kernel.ts). Returns its folder, and whether anything changed. */
export function installKernelSpec(dataDir: string = jupyterDataDir()): { folder: string; changed: boolean } {
  const folder = join(dataDir, "kernels", kernelName);
  const file = join(folder, "kernel.json");
  const text = `${JSON.stringify(kernelSpec(), null, 2)}\n`;
  noteInstalled();
  if (existsSync(file) && readFileSync(file, "utf8") === text) return { folder, changed: false };
  makeFolder(folder);
  writeFileSync(file, text);
  return { folder, changed: true };
}
