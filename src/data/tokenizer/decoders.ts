// The decoders of tokenizer.json: tokens to texts, whose concatenation is the text.
import { bytesOf } from "./byte-alphabet.ts";
import { byType, type Fields } from "./fields.ts";
import { metaspaceFields } from "./metaspace.ts";
import { replaceMatches } from "./normalizers.ts";
import { readPattern } from "./patterns.ts";

export interface Decoder {
  readonly decode: (tokens: readonly string[]) => readonly string[];
  /** Whether its time on any text is known to be bounded. */
  readonly isSafe: boolean;
}

export function readDecoder(fields: Fields): Decoder {
  return byType(fields, known)(fields);
}

const known: Readonly<Record<string, (fields: Fields) => Decoder>> = {
  Sequence: (fields) => {
    const all = fields.each("decoders").map(readDecoder);
    return {
      decode: (tokens) => all.reduce((done, { decode }) => decode(done), tokens),
      isSafe: all.every(({ isSafe }) => isSafe),
    };
  },
  ByteLevel: () => safe((tokens) => [lossy(Buffer.concat(tokens.map(bytesOf)))]),
  Fuse: () => safe((tokens) => [tokens.join("")]),
  ByteFallback: () => safe(byteFallback),
  Replace: (fields) => {
    const { regex, isSafe } = readPattern(fields, "pattern");
    const content = fields.text("content");
    return { decode: (tokens) => tokens.map((token) => replaceMatches(token, regex, content)), isSafe };
  },
  Metaspace: (fields) => {
    const { mark, scheme } = metaspaceFields(fields);
    return safe((tokens) =>
      tokens.map((token, i) => token.replaceAll(mark, i === 0 && scheme !== "never" ? "" : " ")),
    );
  },
  Strip: (fields) => {
    const content = fields.text("content");
    const [start, stop] = [fields.integer("start"), fields.integer("stop")];
    return safe((tokens) => tokens.map((token) => strip(token, content, start, stop)));
  },
  BPEDecoder: (fields) => {
    const suffix = fields.text("suffix", "</w>");
    return safe((tokens) =>
      tokens.map((token, i) => token.replaceAll(suffix, i + 1 === tokens.length ? "" : " ")),
    );
  },
  WordPiece: (fields) => {
    const prefix = fields.text("prefix", "##");
    const cleans = fields.flag("cleanup", true);
    return safe((tokens) =>
      tokens.map((token, i) => {
        const joins = i > 0 && token.startsWith(prefix);
        const text = i === 0 ? token : joins ? token.slice(prefix.length) : ` ${token}`;
        return cleans ? clean(text) : text;
      }),
    );
  },
  CTC: (fields) => {
    const pad = fields.text("pad_token", "<pad>");
    const delimiter = fields.text("word_delimiter_token", "|");
    const cleans = fields.flag("cleanup", true);
    return safe((tokens) =>
      tokens
        .filter((token, i) => token !== tokens[i - 1])
        .map((token) => token.replaceAll(pad, ""))
        .map((token) => (cleans ? clean(token).replaceAll(delimiter, " ") : token))
        .filter((token) => token !== ""),
    );
  },
};

function safe(decode: (tokens: readonly string[]) => readonly string[]): Decoder {
  return { decode, isSafe: true };
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const lossy = (bytes: Uint8Array): string => utf8.decode(bytes);
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Runs of `<0x..>` are characters where they are UTF-8, else a replacement character each. */
function byteFallback(tokens: readonly string[]): string[] {
  const done: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length === 0) return;
    try {
      done.push(strict.decode(Uint8Array.from(bytes)));
    } catch {
      done.push(...bytes.map(() => "\ufffd"));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9a-fA-F]{2}|\+[0-9a-fA-F])>$/.exec(token)?.[1];
    if (byte === undefined) {
      flush();
      done.push(token);
    } else bytes.push(Number.parseInt(byte, 16));
  }
  flush();
  return done;
}

function strip(token: string, content: string, start: number, stop: number): string {
  const points = Array.from(token);
  let from = 0;
  while (from < start && points[from] === content) from++;
  let to = points.length;
  while (points.length - to < stop && to > 0 && points[to - 1] === content) to--;
  return points.slice(from, Math.max(from, to)).join("");
}

/** What BERT's decoders make of spaces before punctuation. */
function clean(text: string): string {
  return text
    .replaceAll(" .", ".")
    .replaceAll(" ?", "?")
    .replaceAll(" !", "!")
    .replaceAll(" ,", ",")
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(" do not", " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}
