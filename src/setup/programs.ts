// Paths of this folder's programs, which others start as child processes: the same extension as this file has
// (.ts in the repository, .js in the package).
import { extname, join } from "node:path";

export const autobuildProgram = join(import.meta.dirname, `autobuild${extname(import.meta.filename)}`);
