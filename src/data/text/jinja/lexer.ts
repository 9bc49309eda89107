// A template's text to tokens, by Jinja2's rules as Transformers sets them: trim_blocks (a block's own line end goes),
// lstrip_blocks (so does the space before it on its line), `-` and `+` at either side, the text's last line end dropped.
import { TemplateSyntaxError } from "./errors.ts";

export type TokenType =
  | "data"
  | "variable_begin"
  | "variable_end"
  | "block_begin"
  | "block_end"
  | "name"
  | "string"
  | "integer"
  | "float"
  | "operator"
  | "eof";

export interface Token {
  readonly type: TokenType;
  /** Text of data, name or operator; the value of a string; the digits of a number. */
  readonly value: string;
  readonly line: number;
}

// Python's \s, for text (str.isspace).
export const pythonSpace =
  "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const space = `[${pythonSpace}]`;
const oneSpace = new RegExp(space);
const onlySpace = new RegExp(`^${space}+$`);
const spaceHere = new RegExp(`${space}*`, "y");

const tagOpen = /\{%(?<sign>[-+]?)|\{\{(?<varSign>[-+]?)|\{#(?<commentSign>[-+]?)/g;
const rawOpen = new RegExp(`\\{%[-+]?${space}*raw${space}*(?:-%\\}${space}*|%\\})`, "y");
const rawClose = new RegExp(
  `\\{%(?<sign>[-+]?)${space}*endraw${space}*(?:\\+%\\}|-%\\}${space}*|%\\}\\n?)`,
  "g",
);
const commentClose = new RegExp(`\\+#\\}|-#\\}${space}*|#\\}\\n?`, "g");
const blockClose = new RegExp(`\\+%\\}|-%\\}${space}*|%\\}\\n?`, "y");
const variableClose = new RegExp(`-\\}\\}${space}*|\\}\\}`, "y");
const patterns: readonly (readonly [TokenType, RegExp])[] = [
  ["float", /(?<!\.)(?:\d+_)*\d+(?:\.(?:\d+_)*\d+e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+|e[+-]?(?:\d+_)*\d+)/iy],
  ["integer", /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy],
  ["name", /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy],
  ["string", /'(?:[^'\\]|\\[^])*'|"(?:[^"\\]|\\[^])*"/y],
  ["operator", /\/\/|\*\*|[=!<>]=|[-+*/%~[\](){}<>=.:|,;]/y],
];
const closing: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/** By a loop: an expression would begin anew at each space of a long run. */
function withoutTrailingSpace(text: string): string {
  let end = text.length;
  while (end > 0 && oneSpace.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/** @throws TemplateSyntaxError */
export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n|\r|\n/g, "\n").replace(/\n$/, "");
  return new Lexer(source).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  #lineCountedTo = 0;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    while (this.#at < this.#source.length) this.#data();
    this.#push("eof", "");
    return this.#tokens;
  }

  #push(type: TokenType, value: string): void {
    for (; this.#lineCountedTo < this.#at; this.#lineCountedTo++)
      if (this.#source[this.#lineCountedTo] === "\n") this.#line++;
    this.#tokens.push({ type, value, line: this.#line });
  }

  #fail(message: string): never {
    this.#push("eof", "");
    throw new TemplateSyntaxError(message, this.#line);
  }

  /** Text up to the next tag, and that tag. */
  #data(): void {
    const from = this.#at;
    tagOpen.lastIndex = from;
    const match = tagOpen.exec(this.#source);
    if (match === null) {
      this.#push("data", this.#source.slice(from));
      this.#at = this.#source.length;
      return;
    }
    const isVariable = match.groups!["varSign"] !== undefined;
    const isComment = match.groups!["commentSign"] !== undefined;
    const sign = match.groups!["sign"] ?? match.groups!["varSign"] ?? match.groups!["commentSign"] ?? "";
    this.#text(from, match.index, sign, isVariable);
    this.#at = match.index + match[0].length;
    if (isComment) return this.#skipComment();
    if (isVariable) return this.#tag("variable", variableClose);
    rawOpen.lastIndex = match.index;
    const raw = rawOpen.exec(this.#source);
    if (raw === null) return this.#tag("block", blockClose);
    this.#at = match.index + raw[0].length;
    this.#raw();
  }

  /** Text before a tag, stripped as the tag's sign or its line wants. */
  #text(from: number, to: number, sign: string, isVariable: boolean): void {
    let text = this.#source.slice(from, to);
    if (sign === "-") text = withoutTrailingSpace(text);
    else if (sign !== "+" && !isVariable) {
      const lineStart = text.lastIndexOf("\n") + 1;
      const isAtLineStart = lineStart > 0 || from === 0 || this.#source[from - 1] === "\n";
      if (isAtLineStart && onlySpace.test(text.slice(lineStart))) text = text.slice(0, lineStart);
    }
    if (text !== "") this.#push("data", text);
  }

  #skipComment(): void {
    commentClose.lastIndex = this.#at;
    const match = commentClose.exec(this.#source);
    if (match === null) this.#fail("Missing end of comment tag");
    this.#at = match.index + match[0].length;
  }

  #raw(): void {
    rawClose.lastIndex = this.#at;
    const match = rawClose.exec(this.#source);
    if (match === null) this.#fail("Missing end of raw directive");
    this.#text(this.#at, match.index, match.groups!["sign"]!, false);
    this.#at = match.index + match[0].length;
  }

  #tag(kind: "variable" | "block", close: RegExp): void {
    this.#push(`${kind}_begin`, "");
    const open: string[] = [];
    for (;;) {
      spaceHere.lastIndex = this.#at;
      this.#at += spaceHere.exec(this.#source)![0].length;
      if (this.#at >= this.#source.length) this.#fail("unexpected end of template");
      if (open.length === 0) {
        close.lastIndex = this.#at;
        const end = close.exec(this.#source);
        if (end !== null) {
          this.#push(`${kind}_end`, "");
          this.#at += end[0].length;
          return;
        }
      }
      this.#token(open);
    }
  }

  #token(open: string[]): void {
    for (const [type, pattern] of patterns) {
      pattern.lastIndex = this.#at;
      const text = pattern.exec(this.#source)?.[0];
      if (text === undefined) continue;
      if (type === "operator") {
        if (text in closing) open.push(closing[text]!);
        else if (/^[)\]}]$/.test(text)) {
          const expected = open.pop();
          if (expected !== text)
            this.#fail(expected ? `unexpected '${text}', expected '${expected}'` : `unexpected '${text}'`);
        }
      }
      this.#push(type, type === "string" ? this.#unescape(text.slice(1, -1)) : text);
      this.#at += text.length;
      return;
    }
    this.#fail(`unexpected character ${JSON.stringify(this.#source[this.#at])}`);
  }

  /** Python's escapes in a string. */
  #unescape(text: string): string {
    const simple: Readonly<Record<string, string>> = {
      "\n": "",
      "\\": "\\",
      "'": "'",
      '"': '"',
      a: "\x07",
      b: "\b",
      f: "\f",
      n: "\n",
      r: "\r",
      t: "\t",
      v: "\v",
    };
    return text.replace(
      /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([^]))/g,
      (whole, x?: string, u?: string, long?: string, octal?: string, one?: string) => {
        const hex = x ?? u ?? long;
        if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
        if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
        if (one === "N" || one === "x" || one === "u" || one === "U")
          this.#fail(`the escape ${whole} in a string`);
        return simple[one!] ?? whole;
      },
    );
  }
}
