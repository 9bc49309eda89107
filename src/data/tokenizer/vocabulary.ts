// What the models of tokenizer.json have in common: their interface, and ids by text as most of them have them.
import type { Fields } from "./fields.ts";
import { wrong } from "./fields.ts";

export interface TokenModel {
  /** Ids of a word, which isn't empty. */
  encode(word: string): number[];
  idOf(token: string): number | undefined;
  /** Texts by id. */
  readonly tokens: readonly (string | undefined)[];
  readonly size: number;
  readonly unkId: number | undefined;
}

/** No vocabulary is near this; a larger id is a damaged file. */
const mostIds = 100_000_000;

/** Ids by text, as most models have them. */
export function readVocabulary(fields: Fields): { ids: Map<string, number>; tokens: string[] } {
  const ids = new Map<string, number>();
  let highest = -1;
  for (const [token, id] of Object.entries(fields.fields("vocab").value)) {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= mostIds)
      throw wrong(`${fields.at("vocab")}[${JSON.stringify(token)}]`, `an id below ${mostIds}`, id);
    ids.set(token, id);
    highest = Math.max(highest, id);
  }
  const tokens = Array.from<string>({ length: highest + 1 });
  for (const [token, id] of ids) tokens[id] = token;
  return { ids, tokens };
}

/** The id of `unk_token`, which must be in the vocabulary. */
export function unknownId(fields: Fields, ids: ReadonlyMap<string, number>): number {
  const token = fields.text("unk_token", "[UNK]");
  const id = ids.get(token);
  if (id === undefined) throw wrong(fields.at("unk_token"), "a token of the vocabulary", token);
  return id;
}

/** The token of a byte where a character has none. */
export const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
