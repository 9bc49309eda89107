// Where the kernel's programs are; same extension as this file has (.ts in the repository, .js in the package).
import { extname, join } from "node:path";

const extension = extname(import.meta.filename);

/** What a kernelspec starts, with the connection file as its argument. */
export const kernelProgram = join(import.meta.dirname, `main${extension}`);

/** The thread that owns the sockets. */
export const serverProgram = join(import.meta.dirname, `server${extension}`);

/** The thread that TypeScript's language service lives in. */
export const languageProgram = join(import.meta.dirname, `language${extension}`);
