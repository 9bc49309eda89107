// The two kinds of errors. A UserError is a mistake that the user can fix, or a fault outside of the program, such as another
// process that died: commands print only its message. Everything else is a bug, and is shown with its stack.
import { inspect } from "node:util";

/** A user's mistake. The message says what was expected, what was found, and what to do next. */
export class UserError extends Error {
  override name = "UserError";
  /** The command's exit code: 2 for invalid configuration or arguments, 1 for a failed run. */
  readonly exitCode: 1 | 2;

  constructor(message: string, options: { cause?: unknown; exitCode?: 1 | 2 } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? 1;
  }
}

/** Converts any thrown value to an Error. */
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  return new Error(typeof thrown === "string" ? thrown : `it threw ${inspect(thrown)}`);
}

/** The message of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
