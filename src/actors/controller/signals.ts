// Ctrl-C for as long as something runs: the first asks it to stop, the next ends it.

/** @returns takes the handlers back */
export function onInterrupt(first: () => void, again: () => void): () => void {
  let count = 0;
  const interrupt = (): void => {
    count++;
    if (count === 1) first();
    else again();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  return () => {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  };
}
