// Rows that can't be read: all ranks end together, at the same place, with the step's work untouched. So what is trained by
// then can still be saved.
import { asError, UserError } from "../../util/index.ts";

const failures = new WeakSet<Error>();

/**
 * What a rank ends with when rows can't be read: its own error, or, where that was another rank's, one that says so.
 * All ranks throw theirs.
 */
export function rowsFailure(own?: { readonly error: unknown }): Error {
  const others = "another rank could not read its rows; its own message says why";
  const error = own === undefined ? new UserError(others) : asError(own.error);
  failures.add(error);
  return error;
}

export const isRowsFailure = (error: unknown): boolean => error instanceof Error && failures.has(error);
