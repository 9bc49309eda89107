// Splits a text at the added tokens of a tokenizer (`<|im_end|>`, `[INST]` …): leftmost, then longest, with the
// single_word, lstrip and rstrip rules of Python's `tokenizers`. Not BPE: the pieces between go to the model.

export interface AddedTokenSpec {
  readonly id: number;
  readonly content: string;
  readonly single_word?: boolean;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  readonly normalized?: boolean;
  readonly special?: boolean;
}

/** A piece of text: an added token (with its id) or text between two. */
export interface Piece {
  readonly start: number;
  readonly end: number;
  readonly token?: AddedTokenSpec;
}

/** Splits texts at a fixed set of added tokens. */
export class AddedTokenSplitter {
  readonly #byContent = new Map<string, AddedTokenSpec>();
  readonly #pattern: RegExp | undefined;

  constructor(tokens: readonly AddedTokenSpec[]) {
    for (const token of tokens) if (token.content) this.#byContent.set(token.content, token);
    // Longest first: a regular expression takes the first alternative that fits at the leftmost place.
    const contents = [...this.#byContent.keys()].sort((a, b) => b.length - a.length);
    if (contents.length > 0)
      this.#pattern = new RegExp(
        contents.map((c) => c.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"),
        "gu",
      );
  }

  split(text: string): Piece[] {
    if (this.#pattern === undefined) return text ? [{ start: 0, end: text.length }] : [];
    const pieces: Piece[] = [];
    let from = 0;
    for (const match of text.matchAll(this.#pattern)) {
      const token = this.#byContent.get(match[0])!;
      let start = match.index;
      let end = start + match[0].length;
      if (start < from) continue; // swallowed by the rstrip of the token before
      if (token.single_word && (isWordBefore(text, start) || isWordAfter(text, end))) continue;
      if (token.lstrip) while (start > from && isSpace(text, start - 1)) start--;
      if (token.rstrip) while (end < text.length && isSpace(text, end)) end++;
      if (start > from) pieces.push({ start: from, end: start });
      pieces.push({ start, end, token });
      from = end;
    }
    if (from < text.length) pieces.push({ start: from, end: text.length });
    return pieces;
  }
}

const isSpace = (text: string, at: number): boolean => /\p{White_Space}/u.test(text[at]!);
const isWordBefore = (text: string, at: number): boolean =>
  /[\p{L}\p{M}\p{N}_]$/u.test(text.slice(Math.max(0, at - 2), at));
const isWordAfter = (text: string, at: number): boolean =>
  /^[\p{L}\p{M}\p{N}_]/u.test(text.slice(at, at + 2));
