// Output of programs that a cell starts with `stdio: "inherit"`. It would go to the terminal that the kernel was started from:
// here it is piped, and written to the cell.
import childProcess, { type ChildProcess } from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import process from "node:process";

type Output = "stdout" | "stderr";
type Options = Record<string, unknown>;
type Anything = (...args: unknown[]) => unknown;

/** Which of the kernel's streams an entry of `stdio` stands for. */
function inherited(entry: unknown, index: number): Output | undefined {
  const fd = entry === "inherit" ? index : ((entry as { fd?: unknown } | null)?.fd ?? entry);
  return fd === 1 ? "stdout" : fd === 2 ? "stderr" : undefined;
}

/** The options with pipes where output is inherited, and where each pipe goes; undefined: none is. */
function piped(options: Options): { options: Options; to: (Output | undefined)[] } | undefined {
  const { stdio } = options;
  const entries: unknown[] = Array.isArray(stdio) ? stdio : stdio === "inherit" ? Array(3).fill(stdio) : [];
  const to = entries.map((entry, index) => (index === 0 ? undefined : inherited(entry, index)));
  if (to.every((one) => one === undefined)) return undefined;
  const changed = entries.map((entry, index) => {
    if (to[index] !== undefined) return "pipe";
    return index === 0 && (entry === "inherit" || entry === 0) ? "ignore" : entry;
  });
  return { options: { ...options, stdio: changed }, to };
}

/** The index of the options among a call's arguments, `(command, args?, options?)`; -1: there are none. */
const optionsAt = (args: readonly unknown[]): number =>
  args.findIndex((arg, i) => i > 0 && typeof arg === "object" && arg !== null && !Array.isArray(arg));

/** From now on, whoever starts a program in this process. */
export function inheritOutput(): void {
  const module = childProcess as unknown as Record<string, Anything>;
  const wrap = (name: string, make: (original: Anything) => Anything): void => {
    module[name] = make(module[name]!.bind(childProcess));
  };
  wrap("spawn", (spawn) => (...args) => {
    const at = optionsAt(args);
    const change = at < 0 ? undefined : piped(args[at] as Options);
    if (change === undefined) return spawn(...args);
    const child = spawn(...args.with(at, change.options)) as ChildProcess;
    for (const [i, name] of change.to.entries())
      if (name !== undefined)
        (child.stdio[i] as NodeJS.ReadableStream).on("data", (data: Buffer) => process[name].write(data));
    return child;
  });
  wrap("spawnSync", (spawnSync) => (...args) => {
    const at = optionsAt(args);
    const change = at < 0 ? undefined : piped(args[at] as Options);
    if (change === undefined) return spawnSync(...args);
    const result = spawnSync(...args.with(at, change.options)) as { output: unknown[] | null } & Record<
      string,
      unknown
    >;
    for (const [i, name] of change.to.entries()) {
      const text = result.output?.[i];
      if (name === undefined || text === undefined || text === null) continue;
      process[name].write(text as string);
      result.output![i] = null;
      if (i === 1 || i === 2) result[i === 1 ? "stdout" : "stderr"] = null;
    }
    return result;
  });
  // These write standard error by themselves where `stdio` isn't given.
  for (const name of ["execSync", "execFileSync"])
    wrap(name, (exec) => (...args) => {
      const at = optionsAt(args);
      if (at < 0 || piped(args[at] as Options)?.to[1] !== "stdout") return exec(...args);
      const { stdio: _, ...options } = args[at] as Options;
      try {
        process.stdout.write(exec(...args.with(at, options)) as string);
        return null;
      } catch (error) {
        const { stdout } = error as { stdout?: string | null };
        if (stdout !== undefined && stdout !== null) process.stdout.write(stdout);
        throw error;
      }
    });
  wrap("fork", (fork) => (...args) => {
    const at = optionsAt(args);
    const options = (at < 0 ? {} : args[at]) as Options;
    if (options["silent"] === true || options["stdio"] !== undefined) return fork(...args);
    const changed = { ...options, silent: true };
    const child = fork(...(at < 0 ? [...args, changed] : args.with(at, changed))) as ChildProcess;
    child.stdout?.on("data", (data: Buffer) => process.stdout.write(data));
    child.stderr?.on("data", (data: Buffer) => process.stderr.write(data));
    return child;
  });
  syncBuiltinESMExports();
}
