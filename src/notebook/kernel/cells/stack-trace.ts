// Stack traces with positions in a cell's TypeScript, and without frames of the kernel. Sets Error.prepareStackTrace, so it
// applies to every error.
import { findSourceMap, SourceMap, type SourceMapPayload } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

interface CellSource {
  readonly code: string;
  readonly map: string;
  parsed?: SourceMap;
}

const cells = new Map<string, CellSource>();
const kernelFolder = pathToFileURL(resolve(import.meta.dirname, "..")).href;
const filePosition = /(file:\/\/[^\s)]+):(\d+):(\d+)/g;
const cellPosition = /(cell-\d+\.ts):(\d+)(?::(\d+))?/g;

export function registerCell(url: string, source: { code: string; map: string }): void {
  cells.set(url, { code: source.code, map: source.map });
}

export function installStackTraces(): void {
  Error.prepareStackTrace = (error, frames) => {
    const lines = frames
      .map((frame) => (frame as { toString(): string }).toString())
      .filter((line) => !line.includes(kernelFolder));
    while (lines.length > 0 && /\bnode:/.test(lines.at(-1)!)) lines.pop();
    return [header(error), ...lines.map((line) => `    at ${toSourcePositions(line)}`)].join("\n");
  };
}

function header(error: Error): string {
  try {
    if (error instanceof Error) return String(error);
    // console.trace() captures the stack of an object of its own.
    const { name, message } = error as Partial<Error>;
    return message === undefined || message === "" ? (name ?? "Error") : `${name}: ${message}`;
  } catch {
    return "Error";
  }
}

/** Replaces positions in transpiled cells, and in files that were transpiled, by those in their source. */
export function toSourcePositions(text: string): string {
  return ofCells(ofFiles(text));
}

/** Those of node's own traces, which are not made here. */
function ofFiles(text: string): string {
  return text.replaceAll(filePosition, (match, url: string, line: string, column: string) => {
    const entry = findSourceMap(url)?.findEntry(Number(line) - 1, Number(column) - 1);
    return entry !== undefined && "originalLine" in entry
      ? `${url}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
      : match;
  });
}

function ofCells(text: string): string {
  return text.replaceAll(cellPosition, (match, url: string, line: string, column: string | undefined) => {
    const position = sourcePosition(url, Number(line), Number(column ?? 1));
    return position === undefined
      ? match
      : `${url}:${position.line}${column === undefined ? "" : `:${position.column}`}`;
  });
}

function sourcePosition(
  url: string,
  line: number,
  column: number,
): { line: number; column: number } | undefined {
  const cell = cells.get(url);
  if (cell === undefined || cell.map === "") return undefined;
  cell.parsed ??= new SourceMap(JSON.parse(cell.map) as SourceMapPayload);
  const entry = cell.parsed.findEntry(line - 1, column - 1);
  if (!("originalLine" in entry)) return undefined;
  return { line: entry.originalLine + 1, column: entry.originalColumn + 1 };
}

/** A line of a cell with an arrow below the column, as Node shows syntax errors. */
export function excerpt(code: string, line: number, column: number): string[] {
  const text = code.split("\n")[line - 1];
  if (text === undefined) return [];
  const prefix = `${line} | `;
  const indent = text.slice(0, column - 1).replaceAll(/[^\t]/g, " ");
  return [`${prefix}${text}`, `${" ".repeat(prefix.length - 2)}| ${indent}^`];
}

/** The excerpt for the innermost frame of a cell in a prepared stack. */
export function excerptOf(stack: string): string[] {
  const found = /(cell-\d+\.ts):(\d+):(\d+)/.exec(stack);
  const cell = found === null ? undefined : cells.get(found[1]!);
  return cell === undefined ? [] : excerpt(cell.code, Number(found![2]), Number(found![3]));
}
