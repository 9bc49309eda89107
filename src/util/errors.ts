// The two kinds of failure. A UserError is a mistake that the user can mend: commands print its message alone.
// Everything else is a bug or a fault of the machine, and is shown with its stack.
import { inspect } from "node:util";

/** A mistake of the user's. The message says what was expected, what was found, and what to do next. */
export class UserError extends Error {
  override name = "UserError";
  /** Exit code that a command ends with: 2 for invalid configuration or arguments, 1 for a run that failed. */
  readonly exitCode: 1 | 2;

  constructor(message: string, options: { cause?: unknown; exitCode?: 1 | 2 } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? 1;
  }
}

/** Anything can be thrown. */
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  return new Error(typeof thrown === "string" ? thrown : `it threw ${inspect(thrown)}`);
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
