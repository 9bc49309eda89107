// The cells that this kernel has run, for history requests. In memory only, so a restarted kernel has none.
import { textOf, type Content } from "./protocol/message.ts";

interface Entry {
  readonly line: number;
  readonly source: string;
  output: string | null;
}

/** Jupyter numbers sessions; there is only this one. */
const session = 1;

export class History {
  readonly #entries: Entry[] = [];

  /** Adds a cell. The returned function sets its output. */
  add(line: number, source: string): (output: string | undefined) => void {
    const entry: Entry = { line, source, output: null };
    this.#entries.push(entry);
    return (output) => (entry.output = output ?? null);
  }

  /** Answers a history_request's content. */
  answer(request: Content): unknown[] {
    const withOutput = request["output"] === true;
    return this.#select(request).map(({ line, source, output }) => [
      session,
      line,
      withOutput ? [source, output] : source,
    ]);
  }

  #select(request: Content): Entry[] {
    const n = typeof request["n"] === "number" ? request["n"] : Infinity;
    switch (request["hist_access_type"]) {
      case "range": {
        const start = Number(request["start"] ?? 0);
        const stop = Number(request["stop"] ?? Infinity);
        return this.#entries.filter(({ line }) => line >= start && line < stop);
      }
      case "search": {
        const pattern = globPattern(textOf(request["pattern"] ?? "*"));
        let found = this.#entries.filter(({ source }) => pattern.test(source));
        if (request["unique"] === true) {
          found = found.filter(
            ({ source }, i) => found.findLastIndex((other) => other.source === source) === i,
          );
        }
        return lastOf(found, n);
      }
      default:
        return lastOf(this.#entries, n);
    }
  }
}

function lastOf<T>(values: readonly T[], n: number): T[] {
  return n >= values.length ? [...values] : values.slice(values.length - Math.max(0, n));
}

/** `*` matches any text, `?` one character. */
function globPattern(glob: string): RegExp {
  const escaped = glob.replaceAll(/[\\^$.|+()[\]{}]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", "[\\s\\S]*").replaceAll("?", "[\\s\\S]")}$`);
}
