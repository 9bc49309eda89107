// Ctrl-C and SIGTERM while something runs: the first requests a stop, the next ends it.

/** @returns removes the handlers */
export function onInterrupt(onFirst: () => void, onRepeat: () => void): () => void {
  let count = 0;
  const interrupt = (): void => {
    count++;
    if (count === 1) onFirst();
    else onRepeat();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  return () => {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  };
}
