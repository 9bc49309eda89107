// Completion and inspection as Jupyter asks for them: what TypeScript knows, joined with what the running program knows.
// Jupyter counts positions in code points, JavaScript in UTF-16 units.
import { LanguageThread } from "./language-thread.ts";
import type { MainThread } from "./main-thread.ts";
import type { Content } from "./message.ts";
import { describeAt, propertiesBefore } from "./runtime-names.ts";

const most = 500;

export class CodeAssist {
  readonly #main: MainThread;
  readonly #language: LanguageThread;

  constructor(main: MainThread, folder: string) {
    this.#main = main;
    this.#language = new LanguageThread(folder);
  }

  /** A cell that has been run. */
  add(code: string): void {
    this.#language.add(code);
  }

  /** Prepares for questions, which are answered sooner then. */
  warm(): void {
    void this.#language.complete("", 0);
  }

  /** Content of a complete_reply. */
  async complete(code: string, cursor: number): Promise<Content> {
    const position = unitsOf(code, cursor);
    const before = code.slice(0, position);
    const [known, running] = await Promise.all([
      this.#language.complete(code, position),
      propertiesBefore(this.#main, before),
    ]);
    const word = /[\p{L}\p{N}_$]*$/u.exec(before)![0];
    const start = known?.start ?? position - word.length;
    const prefix = code.slice(start, position).toLowerCase();
    const entries = new Map(
      (known === undefined || (running.length > 0 && !known.isMember) ? [] : known.entries).map(
        ({ name, kind }) => [name, kind],
      ),
    );
    for (const name of running) {
      if (name.toLowerCase().startsWith(prefix) && !entries.has(name)) entries.set(name, "property");
    }
    const [from, to] = [pointsOf(code, start), pointsOf(code, position)];
    const matches = [...entries].slice(0, most);
    return {
      status: "ok",
      matches: matches.map(([name]) => name),
      cursor_start: from,
      cursor_end: to,
      metadata: {
        _jupyter_types_experimental: matches.map(([text, type]) => ({ start: from, end: to, text, type })),
      },
    };
  }

  /** Content of an inspect_reply. */
  async inspect(code: string, cursor: number): Promise<Content> {
    const position = unitsOf(code, cursor);
    const [known, value] = await Promise.all([
      this.#language.inspect(code, position),
      describeAt(this.#main, code, position),
    ]);
    if (known === undefined && value === undefined)
      return { status: "ok", found: false, data: {}, metadata: {} };
    const parts = [known?.signature, known?.documentation, value === undefined ? undefined : `now: ${value}`];
    const markdown = [
      known?.signature && fenced(known.signature),
      known?.documentation,
      value === undefined ? undefined : `now\n${fenced(value)}`,
    ];
    const joined = (all: (string | undefined)[]): string => all.filter(Boolean).join("\n\n");
    return {
      status: "ok",
      found: true,
      data: { "text/plain": joined(parts), "text/markdown": joined(markdown) },
      metadata: {},
    };
  }
}

function fenced(text: string): string {
  return `\`\`\`typescript\n${text}\n\`\`\``;
}

function unitsOf(code: string, points: number): number {
  return Array.from(code).slice(0, points).join("").length;
}

function pointsOf(code: string, units: number): number {
  return Array.from(code.slice(0, units)).length;
}
