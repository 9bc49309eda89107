// Which of this Node's own arguments a worker gets: loaders and settings (--import tsx, --env-file), not what is meant for
// this program alone: code to evaluate, a debugger's port, the test runner.

const ours = [/^--test(-|=|$)/, /^--watch(-|=|$)/, /^--inspect(-|=|$)/, /^--input-type(=|$)/];
/** They take the next argument with them, unless they are written with `=`. */
const withValue = [
  "-e",
  "--eval",
  "-p",
  "--print",
  "-pe",
  "--input-type",
  "--test-name-pattern",
  "--watch-path",
];
const alone = ["-i", "--interactive", "-c", "--check"];

/**
 * Arguments of every worker. `--expose-gc`: it collects at moments of its own choice. The space of new JavaScript objects
 * needn't grow beyond what a loop around libtorch uses: 20 MiB less, and no slower. Of the threads that compile, Sparkplug's
 * is the one that now and then keeps Node from ending (exitWithin in native/core/runtime.cc): one end in 120.
 */
export const workerArguments = ["--expose-gc", "--max-semi-space-size=4", "--no-concurrent-sparkplug"];

export function programArguments(execArgv: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < execArgv.length; i++) {
    const one = execArgv[i]!;
    if (withValue.includes(one)) i++;
    else if (
      !alone.includes(one) &&
      !ours.some((pattern) => pattern.test(one)) &&
      !/^(-e|--eval|--print)=/.test(one)
    )
      kept.push(one);
  }
  return [...workerArguments, ...kept]; // the last one counts
}
