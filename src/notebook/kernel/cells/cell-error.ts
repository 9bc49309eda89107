// Formats what a cell threw for Jupyter: name, message, and a traceback of the cell's own lines.
import { inspect } from "node:util";

import { Interrupted } from "./interrupts.ts";
import { magicHint } from "./magics.ts";
import { excerpt, excerptOf, toSourcePositions } from "./stack-trace.ts";
import type { CellError } from "../thread-messages.ts";

const red = (text: string): string => `\x1b[31m${text}\x1b[39m`;

export function describeError(thrown: unknown): CellError {
  try {
    return describe(thrown);
  } catch {
    // Its own methods throw.
    const evalue = `a value of type ${typeof thrown} that can't be shown`;
    return { ename: "Uncaught", evalue, traceback: [`${red("Uncaught")} ${evalue}`] };
  }
}

function describe(thrown: unknown): CellError {
  if (!(thrown instanceof Error)) {
    const evalue = inspect(thrown);
    return { ename: "Uncaught", evalue, traceback: [`${red("Uncaught")} ${evalue}`] };
  }
  const ename = String(thrown.name || "Error");
  const evalue = String(thrown.message);
  const stack = typeof thrown.stack === "string" ? thrown.stack : "";
  // For a user's mistake the message suffices; a stack within the library would not help.
  const body = thrown instanceof Interrupted || isUserError(thrown) ? `${ename}: ${evalue}` : inspect(thrown);
  const [first = "", ...rest] = body.split("\n");
  const head = first.startsWith(ename) ? red(ename) + first.slice(ename.length) : first;
  const lines = excerptOf(stack);
  return { ename, evalue, traceback: [head, ...rest, ...(lines.length > 0 ? ["", ...lines] : [])] };
}

export function withHint(error: CellError, hint: string | undefined): CellError {
  return hint === undefined
    ? error
    : { ...error, evalue: `${error.evalue}\n${hint}`, traceback: [...error.traceback, "", hint] };
}

/** Compares names, because a cell may use another copy of torchforge than the kernel. */
function isUserError(error: Error): boolean {
  for (let type: unknown = error; type !== null; type = Object.getPrototypeOf(type)) {
    if ((type as object).constructor?.name === "UserError") return true;
  }
  return false;
}

/** A syntax error found by TypeScript's parser, with the line and an arrow. */
export function describeSyntaxError(
  error: { readonly message: string; readonly line: number; readonly column: number },
  code: string,
  url: string,
): CellError {
  const position = `${url}:${error.line}:${error.column}`;
  const described = {
    ename: "SyntaxError",
    evalue: `${error.message} (${position})`,
    traceback: [
      `${red("SyntaxError")}: ${error.message}`,
      `    at ${position}`,
      "",
      ...excerpt(code, error.line, error.column),
    ],
  };
  return withHint(described, magicHint(code.split("\n")[error.line - 1] ?? ""));
}

/** A syntax error found only by V8, whose stack begins with position, line and arrow in the transpiled code. */
export function describeCompileError(error: Error, code: string): CellError {
  const position = /^(cell-\d+\.ts):(\d+)$/.exec(toSourcePositions((error.stack ?? "").split("\n")[0]!));
  const line = Number(position?.[2] ?? 1);
  const text = code.split("\n")[line - 1] ?? "";
  return describeSyntaxError(
    { message: error.message, line, column: text.search(/\S|$/) + 1 },
    code,
    position?.[1] ?? "cell",
  );
}
