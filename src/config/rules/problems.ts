// What is wrong with a configuration: a list of problems, each at a key, thrown together as one UserError.
import { UserError } from "../../util/index.ts";
import type { Path } from "../schema/keys.ts";

export interface Problem {
  /** The key that it is about. */
  path: Path;
  /** A sentence that names the key, what was expected, what was found and what to do. */
  message: string;
}

/** How many problems a message lists; a file that isn't a configuration may have 200,000. */
export const mostListed = 50;

/** Says where a key was written ("sft.yaml:12:3", "command line"); undefined where nobody knows. */
export type Locate = (path: Path) => string | undefined;

/** An invalid configuration: every problem at once. `problems` lists them for programs. */
export class ConfigError extends UserError {
  override name = "ConfigError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], locate: Locate = () => undefined) {
    const lines = problems.slice(0, mostListed).map(({ path, message }) => {
      const place = locate(path);
      return place === undefined ? message : `${place}: ${message}`;
    });
    super(
      problems.length === 1
        ? lines[0]!
        : [
            `${problems.length} problems in the configuration:`,
            ...lines.map((line) => `  - ${line}`),
            ...(problems.length > mostListed ? [`  … and ${problems.length - mostListed} more`] : []),
          ].join("\n"),
      { exitCode: 2 },
    );
    this.problems = problems;
  }
}
