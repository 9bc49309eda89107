// `import` in a cell: resolved from the notebook's folder, and `torchforge` from the package that this kernel belongs to
// where that folder has none (in torchforge's own repository always: from the sources that the kernel itself runs from).
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join, relative, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import vm from "node:vm";

export type Import = (
  specifier: string,
  options?: ImportCallOptions,
  names?: readonly string[],
) => Promise<object>;

type NativeImport = (specifier: string, options?: ImportCallOptions) => Promise<object>;

/** The package's folder and that of its code: two and three above this file's. */
const code = resolve(import.meta.dirname, "..", "..");
const packageFolder = resolve(code, "..");
const extension = extname(import.meta.filename);

export class Importer {
  readonly #folder: string;
  readonly #import: NativeImport;

  constructor(folder: string) {
    this.#folder = folder;
    this.#import = new vm.Script("(specifier, options) => import(specifier, options)", {
      filename: join(folder, "notebook.ts"),
      importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    }).runInThisContext() as NativeImport;
    this.#quietly();
  }

  /** `import.meta` of a cell, as if the notebook were a module in its folder. */
  get meta(): object {
    const filename = join(this.#folder, "notebook.ts");
    return { url: pathToFileURL(filename).href, filename, dirname: this.#folder };
  }

  get require(): NodeJS.Require {
    return createRequire(join(this.#folder, "notebook.ts"));
  }

  /** @param names what the module must have for a static import */
  readonly import: Import = async (specifier, options, names = []) => {
    const module = await this.#load(String(specifier), options);
    for (const name of names) {
      if (name in module) continue;
      throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${name}'`);
    }
    return module;
  };

  /** Node says once that this way of importing is experimental: nothing that the author of a cell could do about. */
  #quietly(): void {
    const original = process.emitWarning.bind(process);
    process.emitWarning = () => {};
    const restore = (): void => void (process.emitWarning = original);
    this.#import("node:process").then(restore, restore);
  }

  async #load(specifier: string, options: ImportCallOptions | undefined): Promise<object> {
    const own = ownModule(specifier);
    if (own !== undefined && isOwnFolder(this.#folder)) return await this.#import(own, options);
    try {
      return await this.#import(specifier, options);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (own === undefined || code !== "ERR_MODULE_NOT_FOUND") throw error;
      return await this.#import(own, options);
    }
  }
}

/** The file of `torchforge` or `torchforge/NAME` in the kernel's own package; undefined for what it doesn't export. */
export function ownModule(specifier: string): string | undefined {
  const match = /^torchforge(?:\/([\w-]+))?$/.exec(specifier);
  if (match === null) return undefined;
  const { exports } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")) as {
    exports: Record<string, unknown>;
  };
  const name = match[1];
  if (exports[name === undefined ? "." : `./${name}`] === undefined) return undefined;
  const file = join(code, ...(name === undefined ? [] : [name]), `index${extension}`);
  return existsSync(file) ? pathToFileURL(file).href : undefined;
}

/** Whether a notebook's folder lies in the kernel's own package: then `torchforge` is that. */
export function isOwnFolder(folder: string): boolean {
  return isWithin(folder, packageFolder);
}

function isWithin(folder: string, parent: string): boolean {
  const path = relative(parent, folder);
  return !path.startsWith("..") && !path.split(/[\\/]/).includes("node_modules");
}

/** Where a type checker finds the same module. */
export function ownTypes(specifier: string): string | undefined {
  const url = ownModule(specifier);
  if (url === undefined) return undefined;
  const file = fileURLToPath(url);
  return extension === ".js" ? join(dirname(file), "index.d.ts") : file;
}
