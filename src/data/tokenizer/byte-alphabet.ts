// GPT-2's alphabet: a printable character for each byte, so that byte-level vocabularies are plain texts.

const printable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !printable(byte));

/** The character of each byte. */
export const byteAlphabet: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  String.fromCharCode(printable(byte) ? byte : 256 + others.indexOf(byte)),
);

const byteOfCharacter = new Map(byteAlphabet.map((character, byte) => [character, byte]));

/** The bytes of a text, each written as its character. */
export function spellBytes(text: string): string {
  let spelled = "";
  for (const byte of Buffer.from(text)) spelled += byteAlphabet[byte]!;
  return spelled;
}

/** The bytes of a token; of one that isn't in this alphabet its UTF-8. */
export function bytesOf(token: string): Buffer {
  const bytes = Buffer.alloc(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfCharacter.get(token[i]!);
    if (byte === undefined) return Buffer.from(token);
    bytes[i] = byte;
  }
  return bytes;
}
