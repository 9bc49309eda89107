// The normalizers of tokenizer.json: functions of a text.
import { spellBytes } from "./byte-alphabet.ts";
import { charsmap } from "./charsmap.ts";
import { byType, type Fields } from "./fields.ts";
import { newerControl, newerForms, newerMarks, newerNonspacing } from "./newer-unicode.ts";
import { forEachMatch, readPattern } from "./patterns.ts";

export interface Normalizer {
  readonly normalize: (text: string) => string;
  /** Whether its time on any text is known to be bounded. */
  readonly isSafe: boolean;
  /** Whether what it leaves of a text begins where the text begins: not where it removed characters from the start. */
  readonly keepsStart: (text: string) => boolean;
}

export function readNormalizer(fields: Fields): Normalizer {
  return byType(fields, known)(fields);
}

const known: Readonly<Record<string, (fields: Fields) => Normalizer>> = {
  Sequence: (fields) => {
    const all = fields.each("normalizers").map(readNormalizer);
    return {
      normalize: (text) => all.reduce((done, { normalize }) => normalize(done), text),
      isSafe: all.every(({ isSafe }) => isSafe),
      keepsStart: (text) => {
        let done = text;
        return all.every(({ normalize, keepsStart }) => {
          const keeps = keepsStart(done);
          done = normalize(done);
          return keeps;
        });
      },
    };
  },
  NFC: () => safe((text) => normalized(text, "NFC")),
  NFD: () => safe((text) => normalized(text, "NFD")),
  NFKC: () => safe((text) => normalized(text, "NFKC")),
  NFKD: () => safe((text) => normalized(text, "NFKD")),
  Lowercase: () => safe(lowercase),
  StripAccents: () => safe((text) => text.replace(marks, "")),
  Strip: (fields) => {
    const left = fields.flag("strip_left", true) ? "^\\p{White_Space}+" : undefined;
    const right = fields.flag("strip_right", true) ? "(?<!\\p{White_Space})\\p{White_Space}+$" : undefined;
    const ends = [left, right].filter((end) => end !== undefined);
    const strip = (text: string): string =>
      ends.length === 0 ? text : text.replace(new RegExp(ends.join("|"), "gu"), "");
    return { ...safe(strip), keepsStart: (text) => left === undefined || !/^\p{White_Space}/u.test(text) };
  },
  Prepend: (fields) => {
    const front = fields.text("prepend");
    return safe((text) => (text === "" ? text : front + text));
  },
  Replace: (fields) => {
    const { regex, isSafe } = readPattern(fields, "pattern");
    const content = fields.text("content");
    return { ...safe((text) => replaceMatches(text, regex, content)), isSafe };
  },
  ByteLevel: () => safe(spellBytes),
  BertNormalizer: (fields) => {
    const clean = fields.flag("clean_text", true);
    const spaced = fields.flag("handle_chinese_chars", true);
    const lower = fields.flag("lowercase", true);
    const stripped = fields.optionalFlag("strip_accents") ?? lower;
    return safe((text) => {
      let done = text;
      if (clean) done = done.replace(control, "").replace(/\p{White_Space}/gu, " ");
      if (spaced) done = done.replace(ideographs, " $& ");
      if (stripped) done = normalized(done, "NFD").replace(nonspacing, "");
      return lower ? lowercase(done) : done;
    });
  },
  Nmt: () => safe((text) => text.replace(nmtRemoved, "").replace(nmtSpaces, " ")),
  // Its removals don't count.
  Precompiled: (fields) => ({ ...safe(charsmap(fields)), keepsStart: () => true }),
};

function safe(normalize: (text: string) => string): Normalizer {
  const keepsStart = (text: string): boolean =>
    text === "" || normalize(String.fromCodePoint(text.codePointAt(0)!)) !== "";
  return { normalize, isSafe: true, keepsStart };
}

/** Every match replaced by a text as it is. */
export function replaceMatches(text: string, regex: RegExp, content: string): string {
  if (text === "") return text;
  let done = "";
  let from = 0;
  forEachMatch(regex, text, (start, end) => {
    done += text.slice(from, start) + content;
    from = end;
  });
  return from === 0 && done === "" ? text : done + text.slice(from);
}

// Character by character: JavaScript alone writes the sigma at a word's end in its other form.
function lowercase(text: string): string {
  return text.includes("\u03a3") ? Array.from(text, (c) => c.toLowerCase()).join("") : text.toLowerCase();
}

// SentencePiece's nmt rules.
const nmtRemoved = /(?![\0\t\n\f\r\x80-\x8e\x90-\x9e])\p{Cc}/gu;
const nmtSpaces = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;

const marks = new RegExp(`(?![${newerMarks}])\\p{M}`, "gu");
const nonspacing = new RegExp(`(?![${newerNonspacing}])\\p{Mn}`, "gu");
const newForms = new RegExp(`[${newerForms}]`, "u");
const aroundNewForms = new RegExp(`([${newerForms}]+)`, "u");

function normalized(text: string, form: "NFC" | "NFD" | "NFKC" | "NFKD"): string {
  if (form === "NFC" || !newForms.test(text)) return text.normalize(form);
  const parts = text.split(aroundNewForms);
  return parts.map((part, i) => (i % 2 === 1 ? part : part.normalize(form))).join("");
}

// BERT's: NUL, U+FFFD, and what Unicode calls Other, less tab and line ends, and less what isn't assigned.
const control = new RegExp(`[\0\ufffd]|(?![\t\n\r${newerControl}])[\\p{Cc}\\p{Cf}\\p{Co}]`, "gu");
const ideographs =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
