// Completion and inspection by TypeScript's language service. Each executed cell that declares something is a module: it exports
// its names and imports those of earlier cells that it mentions, so that a later declaration of a name replaces an earlier one.
// What a request costs grows with the declarations that are in use, not with the cells that ran: a cell that is executed once more
// replaces its module, and a module whose names are all declared elsewhere is dropped.
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
  /** The modules of earlier cells that it imports from. */
  readonly imports: readonly string[];
  /** How many modules one after another import the next. */
  readonly depth: number;
}

interface Declaration {
  readonly name: string;
  readonly isExported: boolean;
}

/** Declarations beyond these many are forgotten, oldest first; completion still knows their values in memory. */
const maxDeclarations = 2000;

/** A chain of cells, each of which uses the one before, is followed no deeper: TypeScript would run out of stack. */
const maxDepth = 100;
const sweepEvery = 50;
const identifiers = /[\p{L}_$][\p{L}\p{N}_$]*/gu;

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
  /** A cell's code to its file. */
  readonly #fileOf = new Map<string, string>();
  readonly #service: ts.LanguageService;
  readonly #currentFile: string;
  #cells = 0;
  #version = 0;

  /** @param folder the notebook's folder, from which imports are resolved */
  constructor(folder: string) {
    this.#folder = folder;
    this.#currentFile = join(folder, "__cell.ts");
    this.#files.set(join(folder, "__globals.d.ts"), {
      text: globalDeclarations,
      version: "1",
      imports: [],
      depth: 0,
    });
    this.#service = this.#ts.createLanguageService(this.#host());
  }

  /** How many cells' declarations are kept. */
  get modules(): number {
    return this.#fileOf.size;
  }

  /** Adds an executed cell. */
  add(code: string): void {
    const declared = this.#declarations(code);
    if (declared.length === 0) return;
    const file = this.#fileOf.get(code) ?? join(this.#folder, `__cell-${++this.#cells}.ts`);
    this.#fileOf.set(code, file);
    const mentioned = new Set(code.match(identifiers));
    const depthOf = (from: string): number => this.#files.get(from)?.depth ?? 0;
    const { text, imports } = this.#module(
      code,
      declared,
      (name, from) => mentioned.has(name) && depthOf(from) < maxDepth,
    );
    const exported = declared.filter(({ isExported }) => !isExported).map(({ name }) => name);
    this.#files.set(file, {
      text: `${text}\nexport { ${exported.join(", ")} };\n`,
      version: String(++this.#version),
      imports,
      // A cell that is executed once more keeps its place: what it imports may import it.
      depth: this.#files.get(file)?.depth ?? 1 + Math.max(0, ...imports.map(depthOf)),
    });
    for (const { name } of declared) {
      this.#declaredIn.delete(name); // the latest come last
      this.#declaredIn.set(name, file);
    }
    for (const name of this.#declaredIn.keys()) {
      if (this.#declaredIn.size <= maxDeclarations) break;
      this.#declaredIn.delete(name);
    }
    if (this.#version % sweepEvery === 0) this.#sweep();
  }

  /** Drops modules of which nothing is in use. */
  #sweep(): void {
    const used = new Set(this.#declaredIn.values());
    for (const file of used) for (const other of this.#files.get(file)?.imports ?? []) used.add(other);
    for (const [code, file] of this.#fileOf) {
      if (used.has(file)) continue;
      this.#fileOf.delete(code);
      this.#files.delete(file);
    }
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
    const { text, shift } = this.#module(code, this.#declarations(code), () => true);
    const version = String(++this.#version);
    this.#files.set(this.#currentFile, { text: `${text}\nexport {};\n`, version, imports: [], depth: 0 });
    return shift;
  }

  #module(
    code: string,
    declared: readonly Declaration[],
    isWanted: (name: string, from: string) => boolean,
  ): { text: string; shift: number; imports: string[] } {
    const declaredNames = new Set(declared.map(({ name }) => name));
    const imports = new Map<string, string[]>();
    for (const [name, file] of this.#declaredIn) {
      if (declaredNames.has(name) || !isWanted(name, file)) continue;
      const names = imports.get(file);
      if (names === undefined) imports.set(file, [name]);
      else names.push(name);
    }
    const header = [...imports]
      .map(([file, names]) => `import { ${names.join(", ")} } from ${JSON.stringify(file)};`)
      .concat("\n")
      .join(" ");
    return { text: header + code, shift: header.length, imports: [...imports.keys()] };
  }

  /** Values and types that the cell declares at its top level. */
  #declarations(code: string): Declaration[] {
    const ts = this.#ts;
    const found: Declaration[] = [];
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
