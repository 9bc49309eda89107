// Paths of this folder's programs, with this file's extension (.ts in the repository, .js in the package).
import { extname, join } from "node:path";

export const autobuildProgram = join(import.meta.dirname, `autobuild${extname(import.meta.filename)}`);
