// Users' TypeScript files with what Node doesn't run by itself, since it only strips types: enums, namespaces, parameter
// properties, `import =`, decorators, accessors; before Node 24 `using`, before 22.18 any type. A load hook transpiles them;
// files without any of it are Node's, as is everything in node_modules, and our own sources.
import { readFileSync } from "node:fs";
import * as module from "node:module";
import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

import { loadTypeScript } from "./typescript.ts";

const ownSources = pathToFileURL(resolve(import.meta.dirname, "..")).href;

/** Syntax that takes more than leaving out types. Matches too much at times (in texts, say), which only costs time. */
const transformed = [
  /\benum\s+[\w$]+\s*\{/,
  /\b(?:namespace|module)\s+[\w$.]+\s*\{/,
  /\bconstructor\s*\([^]{0,2000}?\b(?:public|private|protected|readonly|override)\s+[\w$]/,
  /\bimport\s+(?:type\s+)?[\w$]+\s*=/,
  /^\s*export\s*=/m,
  /(?:^|[;{}(,]|\bexport\s|\bdefault\s)\s*@[\w$(]/m,
  /\baccessor\s+[\w$#[]/,
];
const using = /\busing\s+[\w$]/;

const nodeMajor = Number(process.versions.node.split(".")[0]);

/** Whether a file's text needs more than Node does. */
export function needsTransform(text: string, node: { major: number; strips: boolean } = thisNode()): boolean {
  return !node.strips || transformed.some((one) => one.test(text)) || (node.major < 24 && using.test(text));
}

const thisNode = (): { major: number; strips: boolean } => ({
  major: nodeMajor,
  strips: Boolean((process.features as { typescript?: unknown }).typescript),
});

function isUsers(url: string): boolean {
  return (
    url.startsWith("file:") &&
    /\.[cm]?ts$/.test(withoutQuery(url)) &&
    !url.includes("/node_modules/") &&
    !url.startsWith(`${ownSources}/`)
  );
}

const withoutQuery = (url: string): string => url.replace(/[?#].*$/, "");

let isRegistered = false;

/** From now on users' files that this process or thread loads may be any TypeScript. Does nothing the second time, nor in a Node without such hooks. */
export function acceptTypeScript(): void {
  if (isRegistered) return;
  isRegistered = true;
  // Since Node 22.15.
  (module as { registerHooks?: typeof module.registerHooks }).registerHooks?.({
    load(url, context, next) {
      if (!isUsers(url)) return next(url, context);
      const path = fileURLToPath(withoutQuery(url));
      const text = readFileSync(path, "utf8");
      if (!needsTransform(text)) return next(url, context);
      // Stacks are of the user's lines. Not before it is needed: making them takes longer.
      process.setSourceMapsEnabled(true);
      return { ...transpileFile(path, text, context.format ?? undefined), shortCircuit: true };
    },
  });
}

/**
 * A file's JavaScript, with its source map within. Decorators are JavaScript's own, as in cells of a notebook, and not those of
 * `experimentalDecorators`.
 * @throws SyntaxError that names the line
 */
export function transpileFile(
  path: string,
  text: string,
  format?: string,
): { format: "module" | "commonjs"; source: string } {
  const ts = loadTypeScript();
  const isCommonJs = path.endsWith(".cts") || (!path.endsWith(".mts") && format?.startsWith("commonjs"));
  const { outputText, diagnostics = [] } = ts.transpileModule(text, {
    fileName: path,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: isCommonJs ? ts.ModuleKind.CommonJS : ts.ModuleKind.ESNext,
      moduleDetection: isCommonJs ? ts.ModuleDetectionKind.Auto : ts.ModuleDetectionKind.Force,
      inlineSourceMap: true,
      inlineSources: true,
    },
  });
  const problem = diagnostics.find(({ category }) => category === ts.DiagnosticCategory.Error);
  if (problem !== undefined) {
    const { line } = problem.file?.getLineAndCharacterOfPosition(problem.start ?? 0) ?? { line: 0 };
    const message = ts.flattenDiagnosticMessageText(problem.messageText, "\n");
    throw new SyntaxError(`${message} (${path}:${line + 1})`);
  }
  return { format: isCommonJs ? "commonjs" : "module", source: outputText };
}
