// Signals while something runs: the first requests a stop; Ctrl-C again, or SIGTERM again, ends it. SIGHUP comes when the terminal
// is closed, and SIGUSR1 from Slurm before the job's time is up (`--signal`).
import { outlivesTerminal } from "../../util/index.ts";

const interrupts = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const;
export type Interrupt = (typeof interrupts)[number];

/** Those that somebody repeats because he can't wait. SIGHUP comes from the kernel and from the shell, for one closed terminal. */
const impatient: readonly Interrupt[] = ["SIGINT", "SIGTERM"];

/** @returns removes the handlers */
export function onInterrupt(
  onFirst: (signal: Interrupt) => void,
  onRepeat: (signal: Interrupt) => void,
): () => void {
  const seen = new Set<Interrupt>();
  const interrupt = (signal: Interrupt): void => {
    const isFirst = seen.size === 0;
    if (!isFirst && impatient.includes(signal) && seen.has(signal)) onRepeat(signal);
    seen.add(signal);
    if (isFirst) onFirst(signal);
  };
  const handlers = interrupts.map((signal): [Interrupt, () => void] => [
    signal,
    signal === "SIGHUP" && outlivesTerminal() ? () => undefined : () => interrupt(signal),
  ]);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}
