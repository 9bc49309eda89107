// A progress line on stderr that is rewritten in place; without a terminal, fewer plain lines.
const plainEveryMs = 15_000;

export interface ProgressLine {
  /** Replaces the shown text. */
  readonly update: (text: string) => void;
  /** Keeps the last text and starts a new line. */
  readonly end: () => void;
}

/** A progress line on `stream`. */
export function progressLine(stream: NodeJS.WriteStream = process.stderr): ProgressLine {
  const isTerminal = stream.isTTY;
  let last = 0;
  let lastText = "";
  return {
    update(text) {
      if (isTerminal) {
        stream.write(`\r\x1b[2K${text.slice(0, Math.max(20, (stream.columns || 80) - 1))}`);
        lastText = text;
        return;
      }
      // In a log: a line per stage, and one from time to time, not one per second.
      const stage = text.replace(/ \d+ s\b.*/, "");
      const now = performance.now();
      if (stage === lastText && now - last < plainEveryMs) return;
      lastText = stage;
      last = now;
      stream.write(`${text}\n`);
    },
    end() {
      if (isTerminal && lastText !== "") stream.write("\n");
      lastText = "";
    },
  };
}
