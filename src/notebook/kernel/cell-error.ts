// Anything that a cell threw, as Jupyter shows it: name, message, and a traceback of the cell's own lines.
import { inspect } from "node:util";

import { Interrupted } from "./interrupts.ts";
import { excerpt, excerptOf, mapped } from "./stack-trace.ts";
import type { CellError } from "./thread-messages.ts";

const red = (text: string): string => `\x1b[31m${text}\x1b[39m`;

export function describeError(thrown: unknown): CellError {
  if (!(thrown instanceof Error)) {
    const evalue = inspect(thrown);
    return { ename: "Uncaught", evalue, traceback: [`${red("Uncaught")} ${evalue}`] };
  }
  const ename = String(thrown.name || "Error");
  const evalue = String(thrown.message);
  const stack = typeof thrown.stack === "string" ? thrown.stack : "";
  // A user's mistake says all there is to say; where in the libraries it was noticed is of no use.
  const body = thrown instanceof Interrupted || isUserError(thrown) ? `${ename}: ${evalue}` : inspect(thrown);
  const [first = "", ...rest] = body.split("\n");
  const headed = first.startsWith(ename) ? red(ename) + first.slice(ename.length) : first;
  const lines = excerptOf(stack);
  return { ename, evalue, traceback: [headed, ...rest, ...(lines.length > 0 ? ["", ...lines] : [])] };
}

/** By name: a cell may use another copy of torchforge than the kernel's. */
function isUserError(error: Error): boolean {
  for (let type: unknown = error; type !== null; type = Object.getPrototypeOf(type)) {
    if ((type as object).constructor?.name === "UserError") return true;
  }
  return false;
}

/** A fault that the parser found, with the line and an arrow. */
export function describeSyntaxError(
  error: { readonly message: string; readonly line: number; readonly column: number },
  code: string,
  url: string,
): CellError {
  const where = `${url}:${error.line}:${error.column}`;
  return {
    ename: "SyntaxError",
    evalue: `${error.message} (${where})`,
    traceback: [
      `${red("SyntaxError")}: ${error.message}`,
      `    at ${where}`,
      "",
      ...excerpt(code, error.line, error.column),
    ],
  };
}

/** A fault that only V8 found: its stack begins with the place, the line and the arrow in the transpiled code. */
export function describeCompileError(error: Error, code: string): CellError {
  const where = /^(cell-\d+\.ts):(\d+)$/.exec(mapped((error.stack ?? "").split("\n")[0]!));
  const line = Number(where?.[2] ?? 1);
  const text = code.split("\n")[line - 1] ?? "";
  return describeSyntaxError(
    { message: error.message, line, column: text.search(/\S|$/) + 1 },
    code,
    where?.[1] ?? "cell",
  );
}
