// Jupyter knows one kernel by the name `torchforge`, whichever project installed it last. So that a notebook runs on the version
// that its own project has, a kernel that starts in another project's folder hands over to that project's.
import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

import { kernelProgram } from "./programs.ts";

/** The kernel's program of the torchforge that is installed for `folder`; undefined if that is this one, or there is none. */
export function projectKernel(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const program = join(at, "node_modules", "torchforge", "dist", "notebook", "kernel", "main.js");
    if (existsSync(program))
      return realpathSync(program) === realpathSync(kernelProgram) ? undefined : program;
    if (dirname(at) === at) return undefined;
  }
}
