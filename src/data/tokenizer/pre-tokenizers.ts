// The pre-tokenizers of tokenizer.json: a text is split into words, from which the model makes ids.
import { spellBytes } from "./byte-alphabet.ts";
import { byType, wrong, type Fields } from "./fields.ts";
import { metaspaceFields } from "./metaspace.ts";
import { newerPunctuation } from "./newer-unicode.ts";
import { forEachMatch, literalPattern, readPattern } from "./patterns.ts";

/** Words of a section, and whether the first begins where the whole text begins. */
export interface Words {
  readonly words: readonly string[];
  readonly isAtStart: boolean;
}

export interface PreTokenizer {
  readonly steps: readonly ((words: Words) => Words)[];
  /** Whether the words are yet to be written in the byte alphabet. It comes last, so a word's ids can be remembered. */
  readonly spellsBytes: boolean;
  /** Whether its time on any text is known to be bounded. */
  readonly isSafe: boolean;
}

type Step = (words: Words) => Words;
type Behavior = (typeof behaviors)[number];
type Matches = (text: string) => number[];

const behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;

export function readPreTokenizer(fields: Fields): PreTokenizer {
  return byType(fields, known)(fields);
}

const known: Readonly<Record<string, (fields: Fields) => PreTokenizer>> = {
  Sequence: (fields) => {
    const parts = fields.each("pretokenizers").map(readPreTokenizer);
    const steps = parts.flatMap((part, i) =>
      part.spellsBytes && i + 1 < parts.length ? [...part.steps, mapWords(spellBytes)] : part.steps,
    );
    return {
      steps,
      spellsBytes: parts.at(-1)?.spellsBytes ?? false,
      isSafe: parts.every(({ isSafe }) => isSafe),
    };
  },
  ByteLevel: (fields) => {
    const steps: Step[] = [];
    if (fields.flag("add_prefix_space", true))
      steps.push(mapWords((word) => (word.startsWith(" ") ? word : ` ${word}`)));
    if (fields.flag("use_regex", true)) steps.push(splitBy(matchesOf(byteLevel), "Isolated"));
    return { steps, spellsBytes: true, isSafe: true };
  },
  Split: (fields) => {
    const { regex, isSafe } = readPattern(fields, "pattern");
    const behavior = fields.choice("behavior", behaviors);
    return { ...plain(splitBy(matchesOf(regex), behavior, fields.flag("invert", false))), isSafe };
  },
  Digits: (fields) =>
    plain(splitBy(matchesOf(/\p{N}/gu), fields.flag("individual_digits", false) ? "Isolated" : "Contiguous")),
  Punctuation: (fields) =>
    plain(splitBy(matchesOf(punctuation), fields.choice("behavior", behaviors, "Isolated"))),
  Whitespace: () =>
    plain(
      splitBy(
        matchesOf(
          /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu,
        ),
        "Removed",
        true,
      ),
    ),
  WhitespaceSplit: () => plain(splitBy(matchesOf(/\p{White_Space}/gu), "Removed")),
  BertPreTokenizer: () =>
    plain(splitBy(matchesOf(/\p{White_Space}/gu), "Removed"), splitBy(matchesOf(punctuation), "Isolated")),
  CharDelimiterSplit: (fields) =>
    plain(splitBy(matchesOf(literalPattern(fields.text("delimiter"))), "Removed")),
  FixedLength: (fields) => {
    const length = fields.integer("length", 5);
    if (length === 0) throw wrong(fields.at("length"), "a whole number, 1 or more", length);
    return plain(splitBy(matchesOf(new RegExp(`[^]{1,${length}}`, "gu")), "Isolated"));
  },
  Metaspace: (fields) => {
    const { mark, scheme } = metaspaceFields(fields);
    const steps: Step[] = [
      ({ words, isAtStart }) => ({
        words: words.map((word, i) => {
          const marked = word.replaceAll(" ", mark);
          const wanted = scheme === "always" || (scheme === "first" && i === 0 && isAtStart);
          return wanted && !marked.startsWith(mark) ? mark + marked : marked;
        }),
        isAtStart,
      }),
    ];
    if (fields.flag("split", true)) steps.push(splitBy(matchesOf(literalPattern(mark)), "MergedWithNext"));
    return plain(...steps);
  },
};

const punctuation = new RegExp(`(?![${newerPunctuation}])[\\p{P}$+<=>^\`|~]`, "gu");
// JavaScript's \s has U+FEFF and lacks U+0085; GPT-2's pattern means White_Space.
const byteLevel =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

function plain(...steps: Step[]): PreTokenizer {
  return { steps, spellsBytes: false, isSafe: true };
}

function mapWords(map: (word: string) => string): Step {
  return ({ words, isAtStart }) => ({ words: words.map(map), isAtStart });
}

/** Starts and ends of matches, one after the other. */
function matchesOf(regex: RegExp): Matches {
  return (text) => {
    const found: number[] = [];
    forEachMatch(regex, text, (start, end) => found.push(start, end));
    return found;
  };
}

/** Splits words at matches; the behavior says what becomes of what matched. */
function splitBy(matches: Matches, behavior: Behavior, invert = false): Step {
  return ({ words, isAtStart }) => {
    const parts: string[] = [];
    let startsThere = isAtStart;
    for (const [i, word] of words.entries()) {
      const cuts = cutsOf(word, matches(word), behavior, invert);
      for (let cut = 0; cut < cuts.length; cut += 2) {
        const [start, end] = [cuts[cut]!, cuts[cut + 1]!];
        if (start === end) continue;
        if (parts.length === 0) startsThere &&= i === 0 && start === 0;
        parts.push(word.slice(start, end));
      }
    }
    return { words: parts, isAtStart: startsThere };
  };
}

/** Starts and ends of the parts of a word. */
function cutsOf(word: string, found: readonly number[], behavior: Behavior, invert: boolean): number[] {
  const cuts: number[] = [];
  const isMatch: boolean[] = [];
  let from = 0;
  const push = (start: number, end: number, matched: boolean): void => {
    const counts = matched !== invert;
    if (behavior === "Removed" && counts) return;
    cuts.push(start, end);
    isMatch.push(counts);
  };
  for (let i = 0; i < found.length; i += 2) {
    const [start, end] = [found[i]!, found[i + 1]!];
    if (from !== start) push(from, start, false);
    push(start, end, true);
    from = end;
  }
  if (from !== word.length) push(from, word.length, false);
  if (behavior === "Removed" || behavior === "Isolated") return cuts;
  return mergeCuts(cuts, isMatch, behavior);
}

/** Whether a part joins the one before it is decided from left to right, for MergedWithNext from right to left. */
function mergeCuts(cuts: readonly number[], isMatch: readonly boolean[], behavior: Behavior): number[] {
  const count = isMatch.length;
  const backwards = behavior === "MergedWithNext";
  const merged: [number, number][] = [];
  let previous = false;
  for (let step = 0; step < count; step++) {
    const i = backwards ? count - 1 - step : step;
    const [start, end] = [cuts[2 * i]!, cuts[2 * i + 1]!];
    const last = merged.at(-1);
    const joins = behavior === "Contiguous" ? isMatch[i] === previous : isMatch[i]! && !previous;
    if (!joins || last === undefined) merged.push([start, end]);
    else if (backwards) last[0] = start;
    else last[1] = end;
    previous = isMatch[i]!;
  }
  return (backwards ? merged.reverse() : merged).flat();
}
