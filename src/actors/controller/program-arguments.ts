// Which of this process's Node arguments a worker inherits: loaders and settings (--import tsx, --env-file), but not what is
// meant for this program alone: code to evaluate, a debugger's port, the test runner.

const droppedPatterns = [/^--test(-|=|$)/, /^--watch(-|=|$)/, /^--inspect(-|=|$)/, /^--input-type(=|$)/];
/** These consume the next argument, unless written with `=`. */
const droppedWithValue = [
  "-e",
  "--eval",
  "-p",
  "--print",
  "-pe",
  "--input-type",
  "--test-name-pattern",
  "--watch-path",
];
const droppedFlags = ["-i", "--interactive", "-c", "--check"];

/**
 * Arguments of every worker. `--expose-gc`: the worker chooses when to collect. `--max-semi-space-size`: a loop around
 * libtorch needs little space for new objects; 20 MiB less, and no slower. `--no-concurrent-sparkplug`: that compiler thread
 * keeps one in 120 processes from exiting (see exitWithin in native/core/runtime.cc).
 */
export const workerArguments = ["--expose-gc", "--max-semi-space-size=4", "--no-concurrent-sparkplug"];

export function programArguments(execArgv: readonly string[]): string[] {
  const inherited: string[] = [];
  for (let i = 0; i < execArgv.length; i++) {
    const argument = execArgv[i]!;
    if (droppedWithValue.includes(argument)) i++;
    else if (
      !droppedFlags.includes(argument) &&
      !droppedPatterns.some((pattern) => pattern.test(argument)) &&
      !/^(-e|--eval|--print)=/.test(argument)
    )
      inherited.push(argument);
  }
  return [...workerArguments, ...inherited]; // Node uses the last of two equal options
}
