// Paths of the kernel's programs, with this file's extension (.ts in the repository, .js in the package).
import { extname, join } from "node:path";

const extension = extname(import.meta.filename);

/** The kernel's main program; its argument is the connection file. */
export const kernelProgram = join(import.meta.dirname, `main${extension}`);

/** The thread that owns the sockets. */
export const serverProgram = join(import.meta.dirname, `server${extension}`);

/** The thread that runs TypeScript's language service. */
export const languageProgram = join(import.meta.dirname, "language", `language${extension}`);
