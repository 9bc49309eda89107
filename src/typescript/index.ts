// `node --import torchforge/typescript train.ts`: a program's own files may have enums, decorators, parameter properties and
// namespaces. What torchforge itself loads (actors' files in their processes, files that a notebook imports, functions that a
// configuration names) may have them in any case.
import { acceptTypeScript } from "../util/index.ts";

acceptTypeScript();
