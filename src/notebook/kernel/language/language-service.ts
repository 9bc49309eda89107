// Completion and inspection by TypeScript's language service. Each executed cell is a module that exports its names and imports
// those of earlier cells, so that a later declaration of a name replaces an earlier one.
import { createRequire } from "node:module";
import { join } from "node:path";

import type { ts } from "@ts-morph/common";

import { isInPackage, packageTypes } from "../cells/importer.ts";
import { loadTypeScript, type TypeScript } from "../../../util/index.ts";

export interface Completion {
  readonly name: string;
  /** TypeScript's kind: `const`, `method`, `module`. */
  readonly kind: string;
}

export interface Completions {
  readonly start: number;
  readonly end: number;
  readonly entries: readonly Completion[];
  /** The entries are members (after a dot, in a path), not names in scope. */
  readonly isMember: boolean;
}

export interface Inspection {
  /** The type, as TypeScript writes it. */
  readonly signature: string;
  /** Markdown. */
  readonly documentation: string;
}

interface CellFile {
  readonly text: string;
  readonly version: string;
}

/** The configuration's type Interpolation, as TypeScript prints it. */
const interpolation = "`${string}\\${${string}}${string}`";

const globalDeclarations =
  'declare const display: typeof import("torchforge/notebook").display;\ndeclare const require: NodeJS.Require;\n';

export class NotebookLanguage {
  readonly #ts: TypeScript = loadTypeScript();
  readonly #folder: string;
  readonly #files = new Map<string, CellFile>();
  /** Name to the file of the latest cell that declared it. */
  readonly #declaredIn = new Map<string, string>();
  readonly #service: ts.LanguageService;
  readonly #currentFile: string;
  #cells = 0;
  #version = 0;

  /** @param folder the notebook's folder, from which imports are resolved */
  constructor(folder: string) {
    this.#folder = folder;
    this.#currentFile = join(folder, "__cell.ts");
    this.#files.set(join(folder, "__globals.d.ts"), { text: globalDeclarations, version: "1" });
    this.#service = this.#ts.createLanguageService(this.#host());
  }

  /** Adds an executed cell. */
  add(code: string): void {
    const file = join(this.#folder, `__cell-${++this.#cells}.ts`);
    const declared = this.#declarations(code);
    const { text } = this.#module(code, declared);
    const exported = declared.filter(({ isExported }) => !isExported).map(({ name }) => name);
    this.#files.set(file, { text: `${text}\nexport { ${exported.join(", ")} };\n`, version: "1" });
    for (const { name } of declared) this.#declaredIn.set(name, file);
  }

  complete(code: string, position: number): Completions | undefined {
    const shift = this.#open(code);
    const info = this.#service.getCompletionsAtPosition(this.#currentFile, shift + position, {
      includeCompletionsForModuleExports: false,
    });
    if (info === undefined) return undefined;
    const word = /[\w$#]*$/.exec(code.slice(0, position))![0];
    const span = info.optionalReplacementSpan;
    const start = span && span.start <= shift + position ? span.start - shift : position - word.length;
    const prefix = code.slice(start, position).toLowerCase();
    const entries = info.entries
      .filter(({ name }) => name.toLowerCase().startsWith(prefix) && !name.startsWith("__"))
      .toSorted((a, b) => (a.sortText === b.sortText ? 0 : a.sortText < b.sortText ? -1 : 1))
      .map(({ name, kind }) => ({ name, kind: String(kind) }));
    return { start, end: position, entries, isMember: info.isMemberCompletion || !info.isGlobalCompletion };
  }

  inspect(code: string, position: number): Inspection | undefined {
    const shift = this.#open(code);
    for (const offset of [position, position - 1]) {
      const info =
        offset < 0 ? undefined : this.#service.getQuickInfoAtPosition(this.#currentFile, shift + offset);
      if (info === undefined) continue;
      // A name of an earlier cell is an import here, which the user didn't write.
      const signature = this.#ts
        .displayPartsToString(info.displayParts)
        .replace(/\nimport \S+$/, "")
        .replaceAll(interpolation, '"${…}"');
      if (signature === "any") continue; // TypeScript doesn't know the name
      return {
        signature: signature.replace(/^\(alias\) /, ""),
        documentation: [
          this.#ts.displayPartsToString(info.documentation),
          ...(info.tags ?? []).map((tag) => this.#tag(tag)),
        ]
          .filter(Boolean)
          .join("\n\n"),
      };
    }
    // Between the parentheses of a call: the called function.
    const help = this.#service.getSignatureHelpItems(this.#currentFile, shift + position, undefined);
    const item = help?.items[help.selectedItemIndex];
    if (item === undefined) return undefined;
    const parts = (displayParts: readonly ts.SymbolDisplayPart[]): string =>
      this.#ts.displayPartsToString([...displayParts]);
    const parameters = item.parameters
      .map(({ displayParts }) => parts(displayParts))
      .join(parts(item.separatorDisplayParts));
    return {
      signature: `${parts(item.prefixDisplayParts)}${parameters}${parts(item.suffixDisplayParts)}`,
      documentation: parts(item.documentation),
    };
  }

  #tag({ name, text }: ts.JSDocTagInfo): string {
    return `*@${name}* ${this.#ts.displayPartsToString(text)}`.trim();
  }

  /** Sets the current cell. Returns the length of the header that precedes its code. */
  #open(code: string): number {
    const { text, shift } = this.#module(code, this.#declarations(code));
    this.#files.set(this.#currentFile, { text: `${text}\nexport {};\n`, version: String(++this.#version) });
    return shift;
  }

  #module(code: string, declared: readonly { name: string }[]): { text: string; shift: number } {
    const declaredNames = new Set(declared.map(({ name }) => name));
    const imports = new Map<string, string[]>();
    for (const [name, file] of this.#declaredIn) {
      if (declaredNames.has(name)) continue;
      imports.set(file, [...(imports.get(file) ?? []), name]);
    }
    const header = [...imports]
      .map(([file, names]) => `import { ${names.join(", ")} } from ${JSON.stringify(file)};`)
      .concat("\n")
      .join(" ");
    return { text: header + code, shift: header.length };
  }

  /** Values and types that the cell declares at its top level. */
  #declarations(code: string): { name: string; isExported: boolean }[] {
    const ts = this.#ts;
    const found: { name: string; isExported: boolean }[] = [];
    const file = ts.createSourceFile("cell.ts", code, ts.ScriptTarget.ESNext);
    for (const statement of file.statements) {
      const isExported =
        ts.canHaveModifiers(statement) &&
        (ts.getModifiers(statement) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
      const add = (name: ts.BindingName): void => {
        if (ts.isIdentifier(name)) {
          if (name.text !== "") found.push({ name: name.text, isExported });
        } else {
          for (const element of name.elements) if (!ts.isOmittedExpression(element)) add(element.name);
        }
      };
      if (ts.isVariableStatement(statement)) {
        for (const { name } of statement.declarationList.declarations) add(name);
      } else if (ts.isImportDeclaration(statement)) {
        const clause = statement.importClause;
        if (clause?.name) add(clause.name);
        const bindings = clause?.namedBindings;
        if (bindings && ts.isNamespaceImport(bindings)) add(bindings.name);
        else if (bindings) for (const { name } of bindings.elements) add(name);
      } else if (
        ts.isFunctionDeclaration(statement) ||
        ts.isClassDeclaration(statement) ||
        ts.isInterfaceDeclaration(statement) ||
        ts.isTypeAliasDeclaration(statement) ||
        ts.isEnumDeclaration(statement)
      ) {
        if (statement.name) add(statement.name);
      }
    }
    return [...new Map(found.map((one) => [one.name, one])).values()];
  }

  #host(): ts.LanguageServiceHost {
    const ts = this.#ts;
    const nodeTypes = findNodeTypes(this.#folder);
    const options: ts.CompilerOptions = {
      target: ts.ScriptTarget.ESNext,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      moduleDetection: ts.ModuleDetectionKind.Force,
      allowImportingTsExtensions: true,
      noEmit: true,
      strict: true,
      skipLibCheck: true,
      resolveJsonModule: true,
      // Without Node's types, lib.dom declares at least console, fetch and timers.
      lib: nodeTypes === undefined ? ["lib.esnext.d.ts", "lib.dom.d.ts"] : ["lib.esnext.d.ts"],
      types: nodeTypes === undefined ? [] : ["node"],
      ...(nodeTypes === undefined ? {} : { typeRoots: [nodeTypes] }),
    };
    const libs = standardLibrary();
    const read = (file: string): string | undefined =>
      this.#files.get(file)?.text ?? libs.get(file) ?? ts.sys.readFile(file);
    const fileExists = (file: string): boolean =>
      this.#files.has(file) || libs.has(file) || ts.sys.fileExists(file);
    const resolution: ts.ModuleResolutionHost = {
      fileExists,
      readFile: read,
      directoryExists: (folder) => ts.sys.directoryExists(folder),
      realpath: (path) => ts.sys.realpath?.(path) ?? path,
    };
    const resolve = (specifier: string, from: string): ts.ResolvedModuleFull | undefined => {
      if (this.#files.has(specifier)) return resolvedTo(ts, specifier);
      const packageFile = packageTypes(specifier);
      if (packageFile !== undefined && isInPackage(this.#folder)) return resolvedTo(ts, packageFile);
      const found = ts.resolveModuleName(specifier, from, options, resolution).resolvedModule;
      return found ?? (packageFile === undefined ? undefined : resolvedTo(ts, packageFile));
    };
    return {
      getCompilationSettings: () => options,
      getScriptFileNames: () => [join(this.#folder, "__globals.d.ts"), this.#currentFile],
      getScriptVersion: (file) => this.#files.get(file)?.version ?? "1",
      getScriptSnapshot: (file) => {
        const text = read(file);
        return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
      },
      getCurrentDirectory: () => this.#folder,
      getDefaultLibFileName: () => join(libFolder, "lib.esnext.d.ts"),
      fileExists,
      readFile: read,
      directoryExists: (folder) => ts.sys.directoryExists(folder),
      getDirectories: (folder) => ts.sys.getDirectories(folder),
      readDirectory: (folder, ...rest) => ts.sys.readDirectory(folder, ...rest),
      resolveModuleNameLiterals: (literals, from) =>
        literals.map(({ text }) => ({ resolvedModule: resolve(text, from) })),
    };
  }
}

function resolvedTo(ts: TypeScript, file: string): ts.ResolvedModuleFull {
  const extension = file.endsWith(".d.ts") ? ts.Extension.Dts : ts.Extension.Ts;
  return { resolvedFileName: file, extension };
}

const libFolder = "/torchforge-typescript-lib";

/** TypeScript's library declarations, under a virtual path. */
function standardLibrary(): Map<string, string> {
  const { getLibFiles } = createRequire(import.meta.url)("@ts-morph/common") as {
    getLibFiles: () => { fileName: string; text: string }[];
  };
  return new Map(getLibFiles().map(({ fileName, text }) => [join(libFolder, fileName), text]));
}

/** The folder of @types/node: in the notebook's project, else in torchforge's. */
function findNodeTypes(folder: string): string | undefined {
  for (const from of [join(folder, "notebook.ts"), import.meta.filename]) {
    try {
      return join(createRequire(from).resolve("@types/node/package.json"), "..", "..");
    } catch {
      // try the next folder
    }
  }
  return undefined;
}
