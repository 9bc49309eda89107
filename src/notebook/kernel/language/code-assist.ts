// Answers Jupyter's completion and inspection requests, from TypeScript's types and from values in the running program. Jupyter
// counts positions in code points, JavaScript in UTF-16 units.
import { LanguageThread } from "./language-thread.ts";
import type { MainThread } from "../main-thread.ts";
import type { Content } from "../protocol/message.ts";
import { describeAt, propertiesBefore } from "./runtime-names.ts";

const maxMatches = 500;

export class CodeAssist {
  readonly #main: MainThread;
  readonly #language: LanguageThread;

  constructor(main: MainThread, folder: string) {
    this.#main = main;
    this.#language = new LanguageThread(folder);
  }

  /** Adds an executed cell. */
  add(code: string): void {
    this.#language.add(code);
  }

  /** Loads TypeScript, so that the first request is fast. */
  warmUp(): void {
    void this.#language.complete("", 0);
  }

  /** The content of a complete_reply. */
  async complete(code: string, cursor: number): Promise<Content> {
    const position = unitsOf(code, cursor);
    const before = code.slice(0, position);
    const [fromTypes, fromRuntime] = await Promise.all([
      this.#language.complete(code, position),
      propertiesBefore(this.#main, before),
    ]);
    const word = /[\p{L}\p{N}_$]*$/u.exec(before)![0];
    const start = fromTypes?.start ?? position - word.length;
    const prefix = code.slice(start, position).toLowerCase();
    const entries = new Map(
      (fromTypes === undefined || (fromRuntime.length > 0 && !fromTypes.isMember)
        ? []
        : fromTypes.entries
      ).map(({ name, kind }) => [name, kind]),
    );
    for (const name of fromRuntime) {
      if (name.toLowerCase().startsWith(prefix) && !entries.has(name)) entries.set(name, "property");
    }
    const [from, to] = [pointsOf(code, start), pointsOf(code, position)];
    const matches = [...entries].slice(0, maxMatches);
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

  /** The content of an inspect_reply. */
  async inspect(code: string, cursor: number): Promise<Content> {
    const position = unitsOf(code, cursor);
    const [info, value] = await Promise.all([
      this.#language.inspect(code, position),
      describeAt(this.#main, code, position),
    ]);
    if (info === undefined && value === undefined)
      return { status: "ok", found: false, data: {}, metadata: {} };
    const parts = [info?.signature, info?.documentation, value === undefined ? undefined : `now: ${value}`];
    const markdown = [
      info?.signature && fenced(info.signature),
      info?.documentation,
      value === undefined ? undefined : `now\n${fenced(value)}`,
    ];
    const join = (all: (string | undefined)[]): string => all.filter(Boolean).join("\n\n");
    return {
      status: "ok",
      found: true,
      data: { "text/plain": join(parts), "text/markdown": join(markdown) },
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
