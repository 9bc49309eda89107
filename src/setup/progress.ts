// One line on stderr that is rewritten while something long runs; plain lines, fewer of them, where there is no terminal.
const plainEveryMs = 15_000;

export interface ProgressLine {
  /** Shows `text` in place of the last one. */
  readonly update: (text: string) => void;
  /** Leaves the last text standing and goes to the next line. */
  readonly end: () => void;
}

/** A progress line on `stream` (stderr unless told). */
export function progressLine(stream: NodeJS.WriteStream = process.stderr): ProgressLine {
  const live = stream.isTTY;
  let last = 0;
  let shown = "";
  return {
    update(text) {
      if (live) {
        stream.write(`\r\x1b[2K${text.slice(0, Math.max(20, (stream.columns || 80) - 1))}`);
        shown = text;
        return;
      }
      // A log wants a new line per stage, and a sign of life now and then: not one per second.
      const stage = text.replace(/ \d+ s\b.*/, "");
      const now = performance.now();
      if (stage === shown && now - last < plainEveryMs) return;
      shown = stage;
      last = now;
      stream.write(`${text}\n`);
    },
    end() {
      if (live && shown !== "") stream.write("\n");
      shown = "";
    },
  };
}
