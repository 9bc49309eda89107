// Jupyter knows one kernel by the name `torchforge`, whichever project installed it last. So that a notebook runs on the version
// that its own project has, a kernel that starts in another project's folder hands over to that project's: to one that the user
// has installed as a kernel, never to code that a folder merely contains.
import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { cacheDir, makeFolder } from "../../util/index.ts";
import { kernelProgram } from "./programs.ts";

/** A line a program: those that `forge notebook` has installed. */
const installedFile = (): string => join(cacheDir(), "notebook-kernels");

function installed(): string[] {
  const file = installedFile();
  return existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
}

/** Notes that the user has installed this package's kernel. */
export function noteInstalled(): void {
  const program = realpathSync(kernelProgram);
  const others = installed().filter((one) => one !== program && existsSync(one));
  makeFolder(cacheDir());
  writeFileSync(installedFile(), [...others, program, ""].join("\n"));
}

/** The kernel's program of the torchforge that is installed for `folder`; undefined if that is this one, or there is none. */
export function projectKernel(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const program = join(at, "node_modules", "torchforge", "dist", "notebook", "kernel", "main.js");
    if (existsSync(program)) {
      const real = realpathSync(program);
      return real !== realpathSync(kernelProgram) && installed().includes(real) ? real : undefined;
    }
    if (dirname(at) === at) return undefined;
  }
}
