// @huggingface/tokenizers with what differs from Python's `tokenizers` put right, each by evidence: without any one of
// these, ids or texts of the fixture differ. Nothing else is changed; the tests hold the whole to Python's ids.
import { Tokenizer } from "@huggingface/tokenizers";
import { messageOf, UserError } from "../../util/index.ts";
import { isRecord } from "../types.ts";

type Json = Readonly<Record<string, unknown>>;

/** @throws UserError when tokenizer.json is of a kind that isn't known. */
export function hfTokenizer(tokenizer: Json, config: Json): Tokenizer {
  let made: Tokenizer;
  try {
    made = new Tokenizer({ ...tokenizer, pre_tokenizer: unicodeDigits(tokenizer["pre_tokenizer"]) }, config);
  } catch (error) {
    throw new UserError(`tokenizer.json: ${messageOf(error)}`, { cause: error, exitCode: 2 });
  }
  keepByteOrderMarks(made.decoder);
  mendByteLevel(made.pre_tokenizer);
  return made;
}

// Its "Digits" splits at 0–9 only; the original splits at every numeric character (½, ٣, Ⅷ), as \p{N} does.
function unicodeDigits(value: unknown): unknown {
  if (!isRecord(value)) return value ?? null;
  if (value["type"] === "Digits") {
    const regex = value["individual_digits"] ? "\\p{N}" : "\\p{N}+";
    return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
  }
  const parts = value["pretokenizers"];
  return Array.isArray(parts) ? { ...value, pretokenizers: parts.map(unicodeDigits) } : value;
}

// Its decoders make a TextDecoder that swallows U+FEFF at the start of a run of bytes.
function keepByteOrderMarks(decoder: unknown): void {
  if (decoder === null || (typeof decoder !== "object" && typeof decoder !== "function")) return;
  const parts = decoder as { text_decoder?: TextDecoder; decoders?: unknown[] };
  if (parts.text_decoder) parts.text_decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  parts.decoders?.forEach(keepByteOrderMarks);
}

// Its byte-level split uses JavaScript's \s, which has U+FEFF and lacks U+0085; the original's is White_Space.
const byteLevelSplit =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

interface ByteLevel {
  readonly byte_encoder?: Readonly<Record<number, string>>;
  readonly add_prefix_space?: boolean;
  readonly use_regex?: boolean;
  pre_tokenize_text?: (text: string) => string[];
  readonly tokenizers?: readonly unknown[];
}

const rememberedWords = 100_000;
const longestRemembered = 32;

/** Also remembers the bytes of words: spelling each byte again takes a quarter of its time. */
function mendByteLevel(preTokenizer: unknown): void {
  if (typeof preTokenizer !== "function") return;
  const parts = preTokenizer as ByteLevel;
  parts.tokenizers?.forEach(mendByteLevel);
  const { byte_encoder: alphabet } = parts;
  if (alphabet === undefined) return;
  const known = new Map<string, string>();
  const spell = (word: string): string => {
    const found = known.get(word);
    if (found !== undefined) return found;
    let spelled = "";
    for (const byte of Buffer.from(word)) spelled += alphabet[byte]!;
    if (word.length <= longestRemembered && known.size < rememberedWords) known.set(word, spelled);
    return spelled;
  };
  parts.pre_tokenize_text = (text) => {
    const whole = parts.add_prefix_space && !text.startsWith(" ") ? ` ${text}` : text;
    return (parts.use_regex ? (whole.match(byteLevelSplit) ?? []) : [whole]).map(spell);
  };
}
