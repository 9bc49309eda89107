// Ctrl-C and SIGTERM while something runs: the first requests a stop, the next ends it.

export type Interrupt = "SIGINT" | "SIGTERM";

/** @returns removes the handlers */
export function onInterrupt(
  onFirst: (signal: Interrupt) => void,
  onRepeat: (signal: Interrupt) => void,
): () => void {
  let count = 0;
  const interrupt = (signal: string): void => {
    count++;
    if (count === 1) onFirst(signal as Interrupt);
    else onRepeat(signal as Interrupt);
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  return () => {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  };
}
