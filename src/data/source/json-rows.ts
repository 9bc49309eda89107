// Divides a stream of bytes into the rows of JSON lines, of a JSON array, or of an object around one array. It only finds where
// rows begin and end, so a file of any size takes the memory of one row; whether a row is JSON is found when it is parsed.
import { UserError } from "../../util/index.ts";
import { maxRowBytes, textStart } from "./bytes.ts";

/** A row's bytes and where they lie in the unpacked file; no bytes where they are more than a row may have. */
export interface RowBytes {
  readonly bytes: Buffer | undefined;
  readonly start: number;
  /** Exclusive. Of a row that is too long, where it was given up. */
  readonly end: number;
  /** From 1; in an array, the row's number. */
  readonly line: number;
}

const [newline, carriageReturn, quote, backslash, comma, colon] = [0x0a, 0x0d, 0x22, 0x5c, 0x2c, 0x3a];
const [openBracket, closeBracket, openBrace, closeBrace] = [0x5b, 0x5d, 0x7b, 0x7d];
const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);

/**
 * The rows of chunks that follow each other, those of a chunk at once.
 * @param kind `jsonl`: lines, but for a file that begins with `[`; `json`: whatever the text is
 * @throws UserError for a document that is broken around its rows
 */
export async function* splitRows(
  file: string,
  chunks: AsyncIterable<Buffer>,
  kind: "jsonl" | "json",
): AsyncGenerator<RowBytes[]> {
  let divider: Divider | undefined;
  let head: Buffer[] = [];
  let length = 0;
  let enough = 0;
  for await (const chunk of chunks) {
    if (divider !== undefined) {
      yield [...divider.push(chunk)];
      continue;
    }
    head.push(chunk);
    length += chunk.length;
    // Looked at again when it has doubled: else chunk after chunk would be joined and read from the beginning.
    if (length < enough && length <= maxRowBytes) continue;
    const bytes = head.length === 1 ? chunk : Buffer.concat(head, length);
    const form = formOf(file, bytes, kind, false);
    head = form === undefined ? [bytes] : [];
    enough = 2 * length;
    if (form === undefined) continue;
    divider = make(file, form, textStart(file, bytes));
    yield [...divider.push(bytes)];
  }
  if (divider === undefined) {
    const bytes = Buffer.concat(head, length);
    const form = formOf(file, bytes, kind, true) ?? "lines";
    divider = make(file, form, textStart(file, bytes));
    yield [...divider.push(bytes)];
  }
  yield [...divider.end()];
}

interface Divider {
  push(chunk: Buffer): Iterable<RowBytes>;
  end(): Iterable<RowBytes>;
}

const make = (file: string, form: Form, start: number): Divider =>
  form === "lines" ? new Lines(start) : new Document(file, form, start);

type Form = "lines" | "array" | "object";

/** What a file's beginning says that it is; `undefined` where more of it is needed. */
function formOf(file: string, head: Buffer, kind: "jsonl" | "json", isEnd: boolean): Form | undefined {
  if (head.length < 4 && !isEnd) return undefined;
  let at = textStart(file, head);
  while (at < head.length && isSpace(head[at]!)) at++;
  if (at === head.length && isEnd) return "lines";
  if (at === head.length) return head.length > maxRowBytes ? onlySpace(file) : undefined;
  if (head[at] === openBracket) return "array";
  if (kind === "jsonl") return "lines";
  if (head[at] !== openBrace) return notRows(file);
  // Many data sets of the hub name JSON lines ".json": then the first line is an object, and something follows it.
  const lineEnd = head.indexOf(newline, at);
  if (lineEnd === -1 && !isEnd) return head.length > maxRowBytes ? "object" : undefined;
  const line = head.subarray(at, lineEnd === -1 ? head.length : lineEnd);
  let value: unknown;
  try {
    value = JSON.parse(line.toString());
  } catch {
    return "object";
  }
  // So it is where one row alone is there, which has an array itself.
  if (lineEnd === -1 || isEnd) {
    const isRow = ["messages", "conversations", "input_ids"].some((key) => key in (value as object));
    if (isRow) return "lines";
  }
  if (lineEnd === -1) return "object";
  at = lineEnd;
  while (at < head.length && isSpace(head[at]!)) at++;
  if (at < head.length) return "lines";
  if (isEnd) return "object";
  return head.length > maxRowBytes ? onlySpace(file) : undefined;
}

function onlySpace(file: string): never {
  throw new UserError(
    `${file}: more than ${maxRowBytes / 2 ** 20} MiB at its beginning have no row, or only one, in white space; expected rows of JSON`,
    { exitCode: 2 },
  );
}

function notRows(file: string): never {
  throw new UserError(
    `${file}: expected an array of rows, or an object with one array in it (such as {"data": [...]})`,
    { exitCode: 2 },
  );
}

/** A row that may lie in several chunks. */
class Pieces {
  #pieces: Buffer[] = [];
  #length = 0;
  #start: number | undefined;
  #isGivenUp = false;

  get isOpen(): boolean {
    return this.#start !== undefined;
  }

  /** Adds bytes; gives the row's place once it has become too long. */
  add(bytes: Buffer, start: number, line: number): RowBytes | undefined {
    this.#start ??= start;
    if (this.#isGivenUp) return undefined;
    this.#length += bytes.length;
    if (this.#length > maxRowBytes) {
      this.#isGivenUp = true;
      this.#pieces = [];
      return { bytes: undefined, start: this.#start, end: start + bytes.length, line };
    }
    this.#pieces.push(bytes);
    return undefined;
  }

  /** The row that ends here; nothing for one that was given up. */
  take(end: number, line: number): RowBytes | undefined {
    const start = this.#start!;
    const isGivenUp = this.#isGivenUp;
    const bytes = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#length = 0;
    this.#start = undefined;
    this.#isGivenUp = false;
    return isGivenUp ? undefined : { bytes, start, end, line };
  }
}

/** JSON lines. A line ends with \n, \r\n or \r, in any mixture; what is blank is no row. */
class Lines implements Divider {
  readonly #pieces = new Pieces();
  #offset = 0;
  #skip: number;
  #line = 1;
  #endedWithReturn = false;

  constructor(start: number) {
    this.#skip = start;
  }

  *push(chunk: Buffer): Generator<RowBytes> {
    let at = Math.min(this.#skip, chunk.length);
    this.#skip = 0;
    let nextReturn = -2;
    while (at < chunk.length) {
      if (this.#endedWithReturn) {
        this.#endedWithReturn = false;
        if (chunk[at] === newline && ++at === chunk.length) break;
      }
      const nextNewline = chunk.indexOf(newline, at);
      if (nextReturn !== -1 && nextReturn < at) nextReturn = chunk.indexOf(carriageReturn, at);
      const isReturn = nextReturn !== -1 && (nextNewline === -1 || nextReturn < nextNewline);
      const found = isReturn ? nextReturn : nextNewline;
      const end = found === -1 ? chunk.length : found;
      let from = at;
      if (!this.#pieces.isOpen) while (from < end && isSpace(chunk[from]!)) from++;
      if (from < end) {
        const tooLong = this.#pieces.add(chunk.subarray(from, end), this.#offset + from, this.#line);
        if (tooLong !== undefined) yield tooLong;
      }
      if (found === -1) break;
      if (this.#pieces.isOpen) {
        const row = this.#pieces.take(this.#offset + found, this.#line);
        if (row !== undefined) yield row;
      }
      this.#line++;
      this.#endedWithReturn = isReturn;
      at = found + 1;
    }
    this.#offset += chunk.length;
  }

  *end(): Generator<RowBytes> {
    if (!this.#pieces.isOpen) return;
    const row = this.#pieces.take(this.#offset, this.#line);
    if (row !== undefined) yield row;
  }
}

/** The elements of an array, which is the document, or the one array in the object that is. */
class Document implements Divider {
  readonly #file: string;
  readonly #pieces = new Pieces();
  #offset = 0;
  #skip: number;
  #rows = 0;
  /** 0 outside, 1 in the document, more in what it holds. */
  #depth = 0;
  /** The depth at which a row stands, once its array is open; the object's one array, or the document itself. */
  readonly #rowDepth: 1 | 2;
  #arrays = 0;
  #isInRows = false;
  #isInString = false;
  #isEscaped = false;
  #isInWord = false;
  /** Whether a value (or, of the object, a key) may come: not directly after one. */
  #wantsValue = true;
  #isAfterColon = false;
  #isDone = false;

  constructor(file: string, form: "array" | "object", start: number) {
    this.#file = file;
    this.#rowDepth = form === "array" ? 1 : 2;
    this.#skip = start;
  }

  *push(chunk: Buffer): Generator<RowBytes> {
    let from = -1; // of the row's part in this chunk
    if (this.#pieces.isOpen) from = 0;
    const { length } = chunk;
    let at = this.#skip;
    this.#skip = 0;
    for (; at < length; at++) {
      if (this.#isInString) {
        if (this.#isEscaped) {
          this.#isEscaped = false;
          continue;
        }
        while (at < length && chunk[at] !== quote && chunk[at] !== backslash) at++;
        if (at === length) break;
        if (chunk[at] === backslash) {
          this.#isEscaped = true;
          continue;
        }
        this.#isInString = false;
        if (this.#endsValue() && from !== -1) {
          yield* this.#row(chunk, from, at + 1);
          from = -1;
        }
        continue;
      }
      const byte = chunk[at]!;
      const isBetween =
        byte === comma || byte === closeBracket || byte === closeBrace || byte === colon || byte <= 0x20;
      if (this.#isInWord && isBetween) {
        this.#isInWord = false;
        if (this.#endsValue() && from !== -1) {
          yield* this.#row(chunk, from, at);
          from = -1;
        }
      }
      if (byte <= 0x20) {
        if (!isSpace(byte)) this.#fail("an unexpected character");
        continue;
      }
      if (this.#isDone) this.#fail("text after its end");
      const isAtRows = this.#isInRows && this.#depth === this.#rowDepth;
      const isStrict = isAtRows || (this.#depth === 1 && this.#rowDepth === 2);
      switch (byte) {
        case comma:
          if (isStrict && this.#wantsValue) this.#fail("a comma without a value before it");
          if (this.#depth <= this.#rowDepth) this.#wantsValue = true;
          this.#isAfterColon = false;
          break;
        case colon:
          if (this.#depth === 1 && this.#rowDepth === 2) {
            this.#isAfterColon = true;
            this.#wantsValue = true;
          }
          break;
        case closeBracket:
        case closeBrace: {
          if (isAtRows && this.#wantsValue && this.#rows > 0) this.#fail("a comma without a value behind it");
          this.#depth--;
          if (this.#isInRows && this.#depth < this.#rowDepth) {
            this.#isInRows = false;
            this.#wantsValue = false;
            if (this.#depth === 0) this.#isDone = true;
          } else if (this.#depth === 0) this.#isDone = true;
          else if (this.#endsValue() && from !== -1) {
            yield* this.#row(chunk, from, at + 1);
            from = -1;
          }
          break;
        }
        default: {
          if (isStrict && !this.#wantsValue && !this.#isInWord)
            this.#fail("two values without a comma between them");
          if (isAtRows && !this.#pieces.isOpen && from === -1) from = at;
          if (byte === openBracket || byte === openBrace) {
            this.#depth++;
            const opensRows =
              byte === openBracket &&
              this.#depth === this.#rowDepth &&
              (this.#rowDepth === 1 || this.#isAfterColon);
            if (opensRows) {
              if (++this.#arrays > 1) notRows(this.#file);
              this.#isInRows = true;
            }
            if (this.#depth <= this.#rowDepth) this.#wantsValue = true;
          } else if (byte === quote) this.#isInString = true;
          else this.#isInWord = true;
        }
      }
    }
    if (from !== -1) {
      const tooLong = this.#pieces.add(chunk.subarray(from), this.#offset + from, this.#rows + 1);
      if (tooLong !== undefined) yield tooLong;
    }
    this.#offset += length;
  }

  end(): RowBytes[] {
    if (!this.#isDone) this.#fail("the file ends before it does", true);
    if (this.#arrays === 0) notRows(this.#file);
    return [];
  }

  /** A value ends; true where it is a row. */
  #endsValue(): boolean {
    if (this.#depth > this.#rowDepth) return false;
    this.#wantsValue = false;
    return this.#isInRows && this.#depth === this.#rowDepth;
  }

  *#row(chunk: Buffer, from: number, end: number): Generator<RowBytes> {
    this.#rows++;
    const tooLong = this.#pieces.add(chunk.subarray(from, end), this.#offset + from, this.#rows);
    if (tooLong !== undefined) yield tooLong;
    const row = this.#pieces.take(this.#offset + end, this.#rows);
    if (row !== undefined) yield row;
  }

  #fail(what: string, isEnd = false): never {
    const where = isEnd ? "" : this.#rows === 0 ? " before the first row" : ` after row ${this.#rows}`;
    throw new UserError(
      `${this.#file}: not JSON: ${what}${where}${isEnd ? ` (${this.#rows} rows are whole)` : ""}`,
      { exitCode: 2 },
    );
  }
}
