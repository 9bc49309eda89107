// Running programs in tests of several processes: to the end, with a time limit, an error that shows what they said.
import { spawnSync } from "node:child_process";
import { dirname, delimiter, join, resolve } from "node:path";

export const root = resolve(import.meta.dirname, "..");

/** Programs of the repository's node_modules/.bin (the pinned node among them) come first on PATH. */
export const environment: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: [dirname(process.execPath), join(root, "node_modules", ".bin"), process.env["PATH"]].join(delimiter),
  OMP_NUM_THREADS: "1",
  NO_COLOR: "1",
};

/** Runs a program and returns its standard output; anything but exit code 0 is an error with all that it printed. */
export function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): string {
  const { status, signal, stdout, stderr, error } = spawnSync(program, [...args], {
    cwd: options.cwd ?? root,
    env: options.env ?? environment,
    encoding: "utf8",
    timeout: options.timeoutMs ?? 120_000,
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 2 ** 26,
  });
  if (error !== undefined) throw error;
  if (status !== 0) {
    throw new Error(`${program} ${args.join(" ")} ended with ${status ?? signal}\n${stdout}\n${stderr}`);
  }
  return stdout;
}
