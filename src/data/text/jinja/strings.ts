// The methods of Python's str. Positions and lengths count code points; space is what str.isspace says.
import { bind, positional } from "./arguments.ts";
import { spend, spendText } from "./budget.ts";
import { RenderError, UnsupportedError } from "./errors.ts";
import { pythonSpace } from "./lexer.ts";
import {
  codePoints,
  integer,
  isBasic,
  listOf,
  Tuple,
  truthy,
  typeName,
  type Arguments,
  type Value,
} from "./values.ts";

type Method = (text: string, args: Arguments) => Value;

const spaceCharacter = new RegExp(`[${pythonSpace}]`);
const isSpace = (c: string): boolean => spaceCharacter.test(c);

/** text.strip(chars), or one side of it. Without `chars` space goes. */
export function strip(text: string, chars?: string, sides: "both" | "left" | "right" = "both"): string {
  const set = chars === undefined ? undefined : new Set(chars);
  const goes = (c: string): boolean => (set === undefined ? isSpace(c) : set.has(c));
  const letters = isBasic(text) ? text : Array.from(text);
  let [from, to] = [0, letters.length];
  if (sides !== "right") while (from < to && goes(letters[from]!)) from++;
  if (sides !== "left") while (to > from && goes(letters[to - 1]!)) to--;
  return typeof letters === "string" ? letters.slice(from, to) : letters.slice(from, to).join("");
}

// What str.splitlines ends a line at.
const lineEnd = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g; // oxlint-disable-line no-control-regex

/** text.splitlines(keepends). */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = [];
  let from = 0;
  for (const match of text.matchAll(lineEnd)) {
    const end = match.index + match[0].length;
    lines.push(text.slice(from, keepEnds ? end : match.index));
    from = end;
  }
  if (from < text.length) lines.push(text.slice(from));
  return lines;
}

/** The letters of a text, for work that takes a step for each. */
function lettersOf(text: string): string[] {
  spend(text.length);
  return Array.from(text);
}

/** text.capitalize(). */
export function capitalize(text: string): string {
  const [first = "", ...rest] = lettersOf(text);
  return titleCase(first) + rest.join("").toLowerCase();
}

// Letters that are two letters in one.
const digraphs: Readonly<Record<string, string>> = { Ǆ: "ǅ", Ǉ: "ǈ", Ǌ: "ǋ", Ǳ: "ǲ" };

/** A letter as it begins a word. */
function titleCase(c: string): string {
  const upper = c.toUpperCase();
  if (upper in digraphs) return digraphs[upper]!;
  const [first = "", ...rest] = Array.from(upper);
  return rest.length > 0 && isCased(first) ? first + rest.join("").toLowerCase() : upper;
}

function title(text: string): string {
  let isInside = false;
  const written = lettersOf(text).map((c) => {
    const letter = isInside ? c.toLowerCase() : titleCase(c);
    isInside = isCased(c);
    return letter;
  });
  return written.join("");
}

const isCased = (c: string): boolean => /[\p{Lowercase}\p{Uppercase}\p{Lt}]/u.test(c);
const hasLower = (text: string): boolean => /\p{Lowercase}/u.test(text);
const hasUpper = (text: string): boolean => /\p{Uppercase}|\p{Lt}/u.test(text);

/** text.islower(). */
export const isLower = (text: string): boolean => hasLower(text) && !hasUpper(text);
/** text.isupper(). */
export const isUpper = (text: string): boolean =>
  /\p{Uppercase}/u.test(text) && !/\p{Lowercase}|\p{Lt}/u.test(text);

/** text.replace(from, to, count); a negative count is all. */
export function replaced(text: string, from: string, to: string, count = -1): string {
  spendText(text.length);
  const parts = from === "" ? ["", ...Array.from(text), ""] : text.split(from);
  if (from === "" && text === "") return count === 0 ? "" : to;
  const most = count < 0 ? parts.length - 1 : Math.min(count, parts.length - 1);
  spendText(text.length + most * to.length);
  const head = parts.slice(0, most + 1).join(to);
  const tail = parts.slice(most + 1);
  return tail.length === 0 ? head : head + from + tail.join(from);
}

/** text.center(width, fill). */
export function center(text: string, width: number, fill = " "): string {
  const missing = width - codePoints(text);
  if (missing <= 0) return text;
  spendText(width);
  const before = Math.floor(missing / 2) + (missing & width & 1);
  return fill.repeat(before) + text + fill.repeat(missing - before);
}

function textArgument(value: Value | undefined, what: string): string {
  if (typeof value !== "string")
    throw new RenderError(`${what}: must be str, not ${value === undefined ? "nothing" : typeName(value)}`);
  return value;
}

function limit(value: Value | undefined, what: string): number {
  return value === undefined ? -1 : integer(value, what);
}

function split(name: "split" | "rsplit"): Method {
  return (text, args) => {
    const [sep, most] = bind(name, args, ["sep", "maxsplit"]);
    const count = limit(most, name);
    const bySpace = sep === undefined || sep === null;
    const separator = bySpace ? undefined : textArgument(sep, name);
    if (separator === "") throw new RenderError("empty separator");
    spendText(text.length);
    const parts =
      separator === undefined ? splitSpace(text, count, name) : splitAt(text, separator, count, name);
    spend(parts.length);
    return parts;
  };
}

function splitAt(text: string, separator: string, count: number, name: "split" | "rsplit"): string[] {
  const parts = text.split(separator);
  const extra = count < 0 ? 0 : parts.length - 1 - count;
  if (extra <= 0) return parts;
  if (name === "split") return [...parts.slice(0, count), parts.slice(count).join(separator)];
  return [parts.slice(0, extra + 1).join(separator), ...parts.slice(extra + 1)];
}

function splitSpace(text: string, count: number, name: "split" | "rsplit"): string[] {
  const words = [...text.matchAll(new RegExp(`[^${pythonSpace}]+`, "g"))];
  if (count < 0 || words.length <= count) return words.map(([word]) => word);
  if (name === "split") {
    const head = words.slice(0, count).map(([word]) => word);
    return [...head, text.slice(words[count]!.index)]; // with the space at its end
  }
  const tail = words.slice(words.length - count);
  const end = tail[0]?.index ?? text.length;
  // Python keeps the space before the first word here.
  return [strip(text.slice(0, end), undefined, "right"), ...tail.map(([word]) => word)];
}

function partition(fromRight: boolean): Method {
  return (text, args) => {
    const separator = textArgument(positional("partition", args, 1)[0], "partition");
    if (separator === "") throw new RenderError("empty separator");
    spendText(text.length);
    const at = fromRight ? text.lastIndexOf(separator) : text.indexOf(separator);
    if (at === -1) return new Tuple(fromRight ? ["", "", text] : [text, "", ""]);
    return new Tuple([text.slice(0, at), separator, text.slice(at + separator.length)]);
  };
}

function affix(name: "startswith" | "endswith"): Method {
  return (text, args) => {
    const [wanted, ...range] = positional(name, args, 1, 3);
    const part = range.length === 0 ? text : sliced(text, range);
    const all = wanted instanceof Tuple ? wanted.items : [wanted!];
    return all.some((value) => {
      const affix = textArgument(value, `${name} first arg`);
      spendText(affix.length);
      if (part === undefined) return false;
      return name === "startswith" ? part.startsWith(affix) : part.endsWith(affix);
    });
  };
}

/** The part that a method's start and end name; undefined where start lies beyond the text. */
function sliced(text: string, [start, end]: readonly Value[]): string | undefined {
  spendText(text.length);
  const letters = Array.from(text);
  const at = (value: Value | undefined, otherwise: number): number => {
    if (value === undefined || value === null) return otherwise;
    const index = integer(value, "slice indices");
    return Math.max(0, Math.min(index < 0 ? index + letters.length : index, letters.length));
  };
  if (start !== undefined && start !== null && integer(start, "slice indices") > letters.length)
    return undefined;
  return letters.slice(at(start, 0), at(end, letters.length)).join("");
}

function find(name: string, fromRight: boolean, orFail: boolean): Method {
  return (text, args) => {
    const [wanted, ...range] = positional(name, args, 1, 3);
    const part = textArgument(wanted, name);
    const within = range.length === 0 ? text : sliced(text, range);
    const unit = within === undefined ? -1 : fromRight ? within.lastIndexOf(part) : within.indexOf(part);
    spend(text.length / 256);
    if (unit === -1) {
      if (orFail) throw new RenderError("substring not found");
      return -1n;
    }
    const [start = null] = range;
    const length = codePoints(text);
    const from = start === null ? 0 : integer(start, "slice indices");
    const offset = Math.max(0, from < 0 ? from + length : from);
    return BigInt(offset + codePoints(within!.slice(0, unit)));
  };
}

function justify(name: "ljust" | "rjust" | "center"): Method {
  return (text, args) => {
    const [width, fill = " "] = positional(name, args, 1, 2);
    const filler = textArgument(fill, name);
    if (codePoints(filler) !== 1)
      throw new RenderError("The fill character must be exactly one character long");
    const wanted = integer(width!, name);
    if (name === "center") return center(text, wanted, filler);
    const missing = Math.max(0, wanted - codePoints(text));
    spendText(missing);
    return name === "ljust" ? text + filler.repeat(missing) : filler.repeat(missing) + text;
  };
}

function stripped(sides: "both" | "left" | "right"): Method {
  return (text, args) => {
    const [chars = null] = positional("strip", args, 0, 1);
    spendText(text.length);
    return strip(text, chars === null ? undefined : textArgument(chars, "strip arg"), sides);
  };
}

const inspected =
  (holds: (text: string) => boolean): Method =>
  (text, args) => {
    positional("method", args, 0);
    spendText(text.length);
    return holds(text);
  };

const all = (pattern: RegExp): Method => inspected((text) => pattern.test(text));

const changed =
  (change: (text: string) => string): Method =>
  (text, args) => {
    positional("method", args, 0);
    spendText(text.length);
    return change(text);
  };

const unsupported =
  (name: string): Method =>
  () => {
    throw new UnsupportedError(`the method str.${name}`);
  };

export const stringMethods: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["capitalize", changed(capitalize)],
  [
    "casefold",
    changed((text) =>
      lettersOf(text)
        .map((c) => (c === "ß" ? "ss" : c.toUpperCase().toLowerCase()))
        .join(""),
    ),
  ],
  ["center", justify("center")],
  [
    "count",
    (text, args) => {
      const [wanted, ...range] = positional("count", args, 1, 3);
      const part = textArgument(wanted, "count");
      const within = range.length === 0 ? text : sliced(text, range);
      if (within === undefined) return 0n;
      spendText(within.length);
      return BigInt(part === "" ? codePoints(within) + 1 : within.split(part).length - 1);
    },
  ],
  ["encode", unsupported("encode")],
  ["endswith", affix("endswith")],
  ["expandtabs", unsupported("expandtabs")],
  ["find", find("find", false, false)],
  ["format_map", unsupported("format_map")],
  ["index", find("index", false, true)],
  ["isalnum", all(/^[\p{L}\p{N}]+$/u)],
  ["isalpha", all(/^\p{L}+$/u)],
  ["isascii", all(/^[\0-\x7f]*$/)],
  ["isdecimal", all(/^\p{Nd}+$/u)],
  ["isdigit", all(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒]+$/u)],
  ["isidentifier", all(/^[\p{XIDS}_][\p{XIDC}]*$/u)],
  ["islower", inspected(isLower)],
  ["isnumeric", all(/^\p{N}+$/u)],
  ["isprintable", all(/^(?:[^\p{C}\p{Z}]| )*$/u)],
  ["isspace", all(new RegExp(`^[${pythonSpace}]+$`))],
  ["istitle", inspected((text) => lettersOf(text).some(isCased) && title(text) === text)],
  ["isupper", inspected(isUpper)],
  [
    "join",
    (text, args) => {
      const items = listOf(positional("join", args, 1)[0]!);
      const parts = items.map((item, i) => {
        if (typeof item !== "string")
          throw new RenderError(`sequence item ${i}: expected str instance, ${typeName(item)} found`);
        return item;
      });
      spendText(parts.reduce((sum, part) => sum + part.length + text.length, 0));
      return parts.join(text);
    },
  ],
  ["ljust", justify("ljust")],
  ["lower", changed((text) => text.toLowerCase())],
  ["lstrip", stripped("left")],
  ["maketrans", unsupported("maketrans")],
  ["partition", partition(false)],
  [
    "removeprefix",
    (text, args) => {
      const prefix = textArgument(positional("removeprefix", args, 1)[0], "removeprefix");
      spendText(prefix.length);
      return text.startsWith(prefix) ? text.slice(prefix.length) : text;
    },
  ],
  [
    "removesuffix",
    (text, args) => {
      const suffix = textArgument(positional("removesuffix", args, 1)[0], "removesuffix");
      spendText(suffix.length);
      return suffix !== "" && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
    },
  ],
  [
    "replace",
    (text, args) => {
      const [from, to, count] = bind("replace", args, ["old", "new", "count"], 2);
      return replaced(
        text,
        textArgument(from, "replace"),
        textArgument(to, "replace"),
        limit(count, "replace"),
      );
    },
  ],
  ["rfind", find("rfind", true, false)],
  ["rindex", find("rindex", true, true)],
  ["rjust", justify("rjust")],
  ["rpartition", partition(true)],
  ["rsplit", split("rsplit")],
  ["rstrip", stripped("right")],
  ["split", split("split")],
  [
    "splitlines",
    (text, args) => {
      const [keepEnds = false] = bind("splitlines", args, ["keepends"]);
      spendText(text.length);
      return splitLines(text, truthy(keepEnds));
    },
  ],
  ["startswith", affix("startswith")],
  ["strip", stripped("both")],
  [
    "swapcase",
    changed((text) =>
      lettersOf(text)
        .map((c) => (hasUpper(c) ? c.toLowerCase() : c.toUpperCase()))
        .join(""),
    ),
  ],
  ["title", changed(title)],
  ["translate", unsupported("translate")],
  ["upper", changed((text) => text.toUpperCase())],
  [
    "zfill",
    (text, args) => {
      const missing = Math.max(0, integer(positional("zfill", args, 1)[0]!, "zfill") - codePoints(text));
      spendText(missing);
      const sign = /^[-+]/.exec(text)?.[0] ?? "";
      return sign + "0".repeat(missing) + text.slice(sign.length);
    },
  ],
]);
