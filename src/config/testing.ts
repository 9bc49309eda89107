// What the tests of this folder share. Not part of the public face.
import { ConfigError } from "./rules/problems.ts";

/** The least that makes a configuration. */
export const model = { hf_assets_path: "assets" };

/** The messages of all problems that `run` is refused with. */
export function problemsOf(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ message }) => message);
    throw error;
  }
  throw new Error("expected a ConfigError, but nothing was thrown");
}
