// SentencePiece's precompiled normalization: a double-array trie of byte sequences, then the texts that replace them.
import type { Fields } from "./fields.ts";
import { wrong } from "./fields.ts";

export function charsmap(fields: Fields): (text: string) => string {
  const bytes = Buffer.from(fields.text("precompiled_charsmap"), "base64");
  const size = bytes.length < 4 ? -1 : bytes.readUInt32LE(0);
  if (size < 4 || size % 4 !== 0 || 4 + size > bytes.length)
    throw wrong(
      fields.at("precompiled_charsmap"),
      "a trie of as many bytes as its head says",
      `${bytes.length} bytes`,
    );
  const trie = Uint32Array.from({ length: size / 4 }, (_, i) => bytes.readUInt32LE(4 + 4 * i));
  const texts = bytes.subarray(4 + size);

  /** The replacement of the shortest prefix that has one. */
  const find = (part: string): string | undefined => {
    let at = offset(trie[0]!);
    for (const byte of Buffer.from(part)) {
      if (byte === 0) return undefined;
      at ^= byte;
      const unit = trie[at];
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined;
      at ^= offset(unit);
      if ((unit >>> 8) & 1) {
        const start = trie[at]! & 0x7fffffff;
        const end = texts.indexOf(0, start);
        return texts.toString("utf8", start, end === -1 ? texts.length : end);
      }
    }
    return undefined;
  };
  const found = new Map<string, string | undefined>();
  const replacement = (part: string): string | undefined => {
    if (found.has(part)) return found.get(part);
    const text = find(part);
    if (found.size < 100_000) found.set(part, text);
    return text;
  };
  const characters = (text: string): string => {
    let done = "";
    for (const character of text) done += replacement(character) ?? character;
    return done;
  };
  const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });
  const graphemes = (text: string): string => {
    let done = "";
    for (const { segment } of segmenter.segment(text))
      done += (Buffer.byteLength(segment) < 6 ? replacement(segment) : undefined) ?? characters(segment);
    return done;
  };
  // Printable ASCII is a grapheme by itself, but for the one before a combining character.
  return (text) =>
    text.replace(/[\x20-\x7e]+(?![^\x20-\x7e])|[\x20-\x7e]*[^\x20-\x7e]+/g, (part) =>
      /[^\x20-\x7e]/.test(part) ? graphemes(part) : characters(part),
    );
}

const offset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
