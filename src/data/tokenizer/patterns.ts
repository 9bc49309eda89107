// Patterns of tokenizer.json. They are Oniguruma's, whose classes and syntax differ from JavaScript's, so they are
// translated; what can't be translated exactly is refused. Patterns that aren't known to be fast run under a clock.
import { createContext, Script } from "node:vm";
import { toRegExp } from "oniguruma-to-es";
import { messageOf, UserError } from "../../util/index.ts";
import type { Fields } from "./fields.ts";
import { wrong } from "./fields.ts";

export interface Pattern {
  readonly regex: RegExp;
  /** Whether its time on any text is known to be bounded. */
  readonly isSafe: boolean;
}

/** A `{"String": …}` or `{"Regex": …}`. */
export function readPattern(fields: Fields, name: string): Pattern {
  const { value, path } = fields.fields(name);
  const literal = value["String"];
  if (typeof literal === "string") return { regex: literalPattern(literal), isSafe: true };
  const source = value["Regex"];
  if (typeof source !== "string") throw wrong(path, '{"String": …} or {"Regex": …}', value);
  try {
    if (/\\[GKX]/.test(source.replace(/\\\\/g, ""))) throw new Error("\\G, \\K and \\X aren't known");
    const regex = toRegExp(writtenOut(source), { global: true, accuracy: "strict" });
    return { regex, isSafe: isSafe(source) };
  } catch (error) {
    throw new UserError(
      `${path}.Regex: expected a pattern that can be matched exactly as Oniguruma does, found ${JSON.stringify(source)}: ${messageOf(error)}. ` +
        "Rows that are tokenized already (input_ids) can be trained without it",
      { cause: error, exitCode: 2 },
    );
  }
}

/** A pattern that matches these texts; of several the first that fits. */
export function literalPattern(...texts: readonly string[]): RegExp {
  return new RegExp(texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|"), "gu");
}

// Oniguruma's word characters, where the translation has all numbers (½, ⁷) and lacks some letters (ⓣ). Outside of
// classes they are looked up in a table of Latin-1 that has these six more.
const wordClass = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}`;
const word = String.raw`${wordClass}\u00b2\u00b3\u00b9\u00bc-\u00be`;

/** Writes out what the translation, or V8, takes otherwise: word characters and their boundaries, and `(?i:…)`. */
function writtenOut(source: string): string {
  const boundary = (a: string, b: string): string =>
    `(?:(?<=[${word}])(?${a}[${word}])|(?<![${word}])(?${b}[${word}]))`;
  let depth = 0;
  const words = source.replace(/\\p\{\^?word\}|\\[^]|\[:\^?word:\]|[[\]]/gi, (part) => {
    if (part === "[") depth++;
    if (part === "]" && depth > 0) depth--;
    const characters = depth > 0 ? wordClass : word;
    if (part === "\\b" && depth === 0) return boundary("!", "=");
    if (part === "\\B" && depth === 0) return boundary("=", "!");
    if (part === "\\w" || /^(\\p\{word\}|\[:word:\])$/i.test(part)) return `[${characters}]`;
    if (part === "\\W" || /^(\\p\{\^word\}|\[:\^word:\])$/i.test(part)) return `[^${characters}]`;
    return part;
  });
  // Beside such a group V8 takes U+0345 for a letter outside of it too.
  return words.replace(
    /\(\?i:((?:[^()\\[\]]|\[[^()\\[\]^-]*\])*)\)/g,
    (_, body: string) =>
      `(?:${body.replace(/\[[^\]]*\]|[A-Za-z]/g, (part) =>
        part.startsWith("[") ? part.replace(/[A-Za-z]/g, cases) : `[${cases(part)}]`,
      )})`,
  );
}

const cases = (letter: string): string => {
  const lower = letter.toLowerCase();
  return lower + letter.toUpperCase() + (lower === "s" ? "\u017f" : lower === "k" ? "\u212a" : "");
};

/** Calls `each(start, end)` for every match as the onig crate finds them: no empty match where the last one ended. */
export function forEachMatch(regex: RegExp, text: string, each: (start: number, end: number) => void): void {
  let last = -1;
  regex.lastIndex = 0;
  for (let match = regex.exec(text); match !== null; match = regex.exec(text)) {
    const start = match.index;
    const end = start + match[0].length;
    if (end === start) {
      regex.lastIndex = end + (text.codePointAt(end)! > 0xffff ? 2 : 1);
      // V8 finds boundaries inside surrogate pairs.
      if (last === end || /^[\udc00-\udfff]/.test(text.slice(end, end + 1))) continue;
    }
    last = end;
    each(start, end);
  }
}

// What published models split by; each was read, and takes time in proportion to the text, or to its longest run.
const contractions = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)`;
const spaces = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;
const letters = String.raw`[^\r\n\p{L}\p{N}]?\p{L}+`;
const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`;
const lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`;
const signs = String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*`;
const cased = (tail: string): string =>
  String.raw`[^\r\n\p{L}\p{N}]?${upper}*${lower}+${tail}|[^\r\n\p{L}\p{N}]?${upper}+${lower}*${tail}`;
const known = new Set([
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  String.raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`,
  ...["\\p{N}", "\\p{N}{1,3}", "\\p{N}{1,2}", "\\p{N}+"].flatMap((digits) => [
    `${contractions}|${letters}|${digits}|${signs}|${spaces}`,
    `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|${digits}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${spaces}`,
    ...[`${contractions}?`, ""].map(
      (tail) => `${cased(tail)}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`,
    ),
  ]),
  String.raw`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_\`{|}~][A-Za-z]+`.replace("\\`", "`") +
    String.raw`|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|${spaces}`,
]);

/**
 * Besides those: no group, and one repetition at most, at the end of what it is in. From each start such a pattern takes as long as
 * its match; with something to follow (` +$`) it would try every start of a run, and the rest of the run each time.
 */
function isSafe(source: string): boolean {
  if (known.has(source)) return true;
  const [repetition, ...others] = source.matchAll(/[*+]|\{[^}]*\}?/g);
  if (source.includes("(") || others.length > 0 || source.split("?").length > 3) return false;
  if (repetition === undefined) return true;
  const rest = source.slice(repetition.index + repetition[0].length);
  return /^\??(\||$)/.test(rest) && !/\d{3}/.test(repetition[0]);
}

/** Seconds that the patterns of an unknown tokenizer may take for one text. */
const limitSeconds = 10;
const script = new Script("run()");
let context: { run: () => unknown } | undefined;

/** Runs with a limit of time, which ends a pattern that backtracks without an end. */
export function withinLimit<T>(run: () => T, length: number, seconds = limitSeconds): T {
  context ??= createContext({ run }) as { run: () => unknown };
  context.run = run;
  try {
    return script.runInContext(context, { timeout: seconds * 1000 }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
    throw new UserError(
      `tokenizer.json: expected its patterns to split a text of ${length} characters within ${seconds} s; ` +
        "they were stopped. Some pattern (normalizer, pre_tokenizer) backtracks without an end: use another model's tokenizer, or mend the pattern",
      { cause: error, exitCode: 2 },
    );
  } finally {
    context.run = () => undefined;
  }
}
