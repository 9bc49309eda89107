// `import` in a cell: resolved from the notebook's folder. `torchforge` falls back to the kernel's own package, and within
// torchforge's repository always means the sources that the kernel runs from.
import { existsSync, readFileSync, statSync } from "node:fs";
import * as nodeModule from "node:module";
import { dirname, extname, join, relative, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import vm from "node:vm";

import { acceptTypeScript } from "../../../util/index.ts";

export type ImportFunction = (
  specifier: string,
  options?: ImportCallOptions,
  names?: readonly string[],
) => Promise<object>;

type NativeImport = (specifier: string, options?: ImportCallOptions) => Promise<object>;

/** The folder of the package's code, two above this file's. */
const codeFolder = resolve(import.meta.dirname, "..", "..", "..");
const packageFolder = resolve(codeFolder, "..");
const extension = extname(import.meta.filename);

export class Importer {
  readonly #folder: string;
  readonly #import: NativeImport;
  /** The user's files that were imported, by path, and what they were then. */
  readonly #files = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
    acceptTypeScript();
    this.#watchFiles();
    this.#import = new vm.Script("(specifier, options) => import(specifier, options)", {
      filename: join(folder, "notebook.ts"),
      importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    }).runInThisContext() as NativeImport;
    this.#silenceExperimentalWarning();
  }

  /** A cell's `import.meta`, as if the notebook were a module in its folder. */
  get meta(): object {
    const filename = join(this.#folder, "notebook.ts");
    return { url: pathToFileURL(filename).href, filename, dirname: this.#folder };
  }

  get require(): NodeJS.Require {
    return nodeModule.createRequire(join(this.#folder, "notebook.ts"));
  }

  /** @param names the exports that a static import requires */
  readonly import: ImportFunction = async (specifier, options, names = []) => {
    this.#tellOfEdits();
    const module = await this.#load(String(specifier), options);
    for (const name of names) {
      if (name in module) continue;
      throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${name}'`);
    }
    return module;
  };

  #watchFiles(): void {
    // Since Node 22.15.
    const { registerHooks } = nodeModule as Partial<typeof nodeModule>;
    registerHooks?.({
      load: (url, context, next) => {
        const path = url.startsWith("file:") ? fileURLToPath(url) : "";
        if (path !== "" && !path.includes("node_modules") && !isWithin(path, codeFolder))
          this.#files.set(path, versionOf(path));
        return next(url, context);
      },
    });
  }

  /** A module is loaded once. Told where a cell imports again, once for each edit. */
  #tellOfEdits(): void {
    for (const [path, version] of this.#files) {
      const now = versionOf(path);
      if (now === version) continue;
      this.#files.set(path, now);
      process.stderr.write(
        `note: ${relative(this.#folder, path)} has changed since it was imported; this kernel keeps what it had. Restart the kernel (Kernel > Restart) to import it anew.\n`,
      );
    }
  }

  /** Node warns once that this kind of import is experimental, which a cell's author can't change. */
  #silenceExperimentalWarning(): void {
    const original = process.emitWarning.bind(process);
    process.emitWarning = () => {};
    const restore = (): void => void (process.emitWarning = original);
    this.#import("node:process").then(restore, restore);
  }

  async #load(specifier: string, options: ImportCallOptions | undefined): Promise<object> {
    const packageFile = packageModule(specifier);
    if (packageFile !== undefined && isInPackage(this.#folder))
      return await this.#import(packageFile, options);
    try {
      return await this.#import(specifier, options);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (packageFile === undefined || code !== "ERR_MODULE_NOT_FOUND") throw error;
      return await this.#import(packageFile, options);
    }
  }
}

/** Tells one content of a file from another. */
function versionOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? "" : `${found.mtimeMs} ${found.size}`;
}

/** URL of `torchforge` or `torchforge/NAME` in the kernel's own package; undefined if it has no such export. */
export function packageModule(specifier: string): string | undefined {
  const match = /^torchforge(?:\/([\w-]+))?$/.exec(specifier);
  if (match === null) return undefined;
  const { exports } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")) as {
    exports: Record<string, unknown>;
  };
  const name = match[1];
  if (exports[name === undefined ? "." : `./${name}`] === undefined) return undefined;
  const file = join(codeFolder, ...(name === undefined ? [] : [name]), `index${extension}`);
  return existsSync(file) ? pathToFileURL(file).href : undefined;
}

/** Whether a notebook's folder is in the kernel's own package, so that `torchforge` means that package. */
export function isInPackage(folder: string): boolean {
  return isWithin(folder, packageFolder);
}

function isWithin(folder: string, parent: string): boolean {
  const path = relative(parent, folder);
  return !path.startsWith("..") && !path.split(/[\\/]/).includes("node_modules");
}

/** The module's declarations, for the type checker. */
export function packageTypes(specifier: string): string | undefined {
  const url = packageModule(specifier);
  if (url === undefined) return undefined;
  const file = fileURLToPath(url);
  return extension === ".js" ? join(dirname(file), "index.d.ts") : file;
}
