// Added tokens (`<|im_end|>`, `[INST]` …): their ids, and splitting a text at them; leftmost, then longest, with the
// single_word, lstrip and rstrip rules of Python's `tokenizers`. The pieces between go to the model.
import type { Fields } from "./fields.ts";
import { literalPattern } from "./patterns.ts";

export interface AddedToken {
  readonly content: string;
  readonly singleWord: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

export function readAddedToken(fields: Fields): AddedToken {
  const special = fields.flag("special", false);
  return {
    content: fields.text("content"),
    singleWord: fields.flag("single_word", false),
    lstrip: fields.flag("lstrip", false),
    rstrip: fields.flag("rstrip", false),
    normalized: fields.flag("normalized", !special),
    special,
  };
}

/** A piece of text: an added token (with its id) or text between two. */
export interface Piece {
  readonly start: number;
  readonly end: number;
  readonly id: number | undefined;
}

interface Numbered extends AddedToken {
  readonly id: number;
}

/** The added tokens of a tokenizer, in the order in which they were added. */
export class AddedVocabulary {
  readonly #ids = new Map<string, number>();
  readonly #tokens = new Map<number, Numbered>();
  readonly #special = new Set<string>();
  readonly #inVocabulary: (token: string) => number | undefined;
  readonly #modelSize: number;
  #highest = -1;
  #raw: Splitter | undefined;
  #normalized: Splitter | undefined;

  /** @param modelSize number of the model's own tokens; a token that isn't among them gets the next id after it. */
  constructor(inVocabulary: (token: string) => number | undefined, modelSize: number) {
    this.#inVocabulary = inVocabulary;
    this.#modelSize = modelSize;
  }

  add(token: AddedToken): void {
    if (token.content === "") return;
    if (token.special) this.#special.add(token.content);
    const id = this.idOf(token.content) ?? Math.max(this.#highest + 1, this.#modelSize);
    this.#highest = Math.max(this.#highest, id);
    this.#ids.set(token.content, id);
    this.#tokens.set(id, { ...token, id });
    this.#raw = this.#normalized = undefined;
  }

  idOf(content: string): number | undefined {
    return this.#ids.get(content) ?? this.#inVocabulary(content);
  }

  get tokens(): Iterable<Numbered> {
    return this.#tokens.values();
  }

  isSpecial(content: string): boolean {
    return this.#special.has(content);
  }

  /** Splits a text as it is at the tokens that are looked for before it is normalized. */
  split(text: string): Piece[] {
    this.#raw ??= new Splitter([...this.#tokens.values()].filter(({ normalized }) => !normalized));
    return this.#raw.split(text);
  }

  /** Splits a normalized text at the other tokens, which are normalized too. */
  splitNormalized(text: string, normalize: (text: string) => string): Piece[] {
    this.#normalized ??= new Splitter(
      [...this.#tokens.values()]
        .filter(({ normalized }) => normalized)
        .map((token) => ({ ...token, content: normalize(token.content) })),
    );
    return this.#normalized.split(text);
  }
}

class Splitter {
  readonly #byContent = new Map<string, Numbered>();
  readonly #pattern: RegExp | undefined;

  constructor(tokens: readonly Numbered[]) {
    for (const token of tokens)
      if (token.content && !this.#byContent.has(token.content)) this.#byContent.set(token.content, token);
    // Longest first: a regular expression takes the first alternative that fits at the leftmost place.
    const contents = [...this.#byContent.keys()].sort((a, b) => b.length - a.length);
    if (contents.length > 0) this.#pattern = literalPattern(...contents);
  }

  split(text: string): Piece[] {
    if (this.#pattern === undefined) return text ? [{ start: 0, end: text.length, id: undefined }] : [];
    const pieces: Piece[] = [];
    let from = 0;
    for (const match of text.matchAll(this.#pattern)) {
      const token = this.#byContent.get(match[0])!;
      let start = match.index;
      let end = start + match[0].length;
      if (token.singleWord && (isWordBefore(text, start) || isWordAfter(text, end))) continue;
      if (token.lstrip) {
        while (start > 0 && isSpace(text, start - 1)) start--;
        start = Math.max(start, from);
      }
      if (token.rstrip) while (end < text.length && isSpace(text, end)) end++;
      if (start > from) pieces.push({ start: from, end: start, id: undefined });
      pieces.push({ start, end, id: token.id });
      from = end;
    }
    if (from < text.length) pieces.push({ start: from, end: text.length, id: undefined });
    return pieces;
  }
}

const isSpace = (text: string, at: number): boolean => /\p{White_Space}/u.test(text[at]!);
const isWordBefore = (text: string, at: number): boolean =>
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u.test(text.slice(Math.max(0, at - 2), at));
const isWordAfter = (text: string, at: number): boolean =>
  /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u.test(text.slice(at, at + 2));
