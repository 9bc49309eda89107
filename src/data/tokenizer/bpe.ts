// Byte-pair encoding: a word's characters, then the merge of lowest rank again and again (Sennrich et al. 2016). The
// order of merges, also of those that compete, is that of Python's `tokenizers`.
import type { Fields } from "./fields.ts";
import { wrong } from "./fields.ts";
import { byteToken, readVocabulary, type TokenModel } from "./vocabulary.ts";

export function bpe(fields: Fields): TokenModel {
  const { ids, tokens } = readVocabulary(fields);
  const dropout = fields.value["dropout"] ?? 0;
  if (dropout !== 0)
    throw wrong(fields.at("dropout"), "null (random divisions of words can't be resumed exactly)", dropout);
  const prefix = fields.optionalText("continuing_subword_prefix") ?? "";
  const suffix = fields.optionalText("end_of_word_suffix") ?? "";
  const unkToken = fields.optionalText("unk_token");
  const unkId = unkToken === undefined ? undefined : ids.get(unkToken);
  const fuseUnk = fields.flag("fuse_unk", false);
  const ignoreMerges = fields.flag("ignore_merges", false);
  const bytes = fields.flag("byte_fallback", false)
    ? Array.from({ length: 256 }, (_, byte) => ids.get(byteToken(byte)))
    : undefined;
  const merges = readMerges(fields, ids, prefix.length);

  /** A character's tokens; one without any is an unknown token, or nothing where there is none. */
  const symbolsOf = (word: string): number[] => {
    const symbols: number[] = [];
    let hasUnk = false;
    const flush = (): void => {
      if (hasUnk) symbols.push(unkId!);
      hasUnk = false;
    };
    for (let at = 0; at < word.length;) {
      const end = at + (word.codePointAt(at)! > 0xffff ? 2 : 1);
      let character = word.slice(at, end);
      if (at > 0) character = prefix + character;
      if (end === word.length) character += suffix;
      at = end;
      const id = ids.get(character);
      if (id !== undefined) {
        flush();
        symbols.push(id);
        continue;
      }
      const spelled = bytes && Array.from(Buffer.from(character), (byte) => bytes[byte]);
      if (spelled?.every((byte) => byte !== undefined)) {
        symbols.push(...spelled);
      } else if (unkToken !== undefined) {
        if (unkId === undefined) throw wrong(fields.at("unk_token"), "a token of the vocabulary", unkToken);
        if (!fuseUnk) flush();
        hasUnk = true;
      }
    }
    flush();
    return symbols;
  };

  const encode = (word: string): number[] => {
    const whole = ignoreMerges ? ids.get(word) : undefined;
    return whole === undefined ? merge(symbolsOf(word), merges) : [whole];
  };
  return { encode, idOf: (token) => ids.get(token), tokens, size: ids.size, unkId };
}

function readMerges(fields: Fields, ids: ReadonlyMap<string, number>, prefixLength: number): MergeTable {
  const list = fields.list("merges");
  const table = new MergeTable(list.length);
  for (const [rank, entry] of list.entries()) {
    const pair: unknown = typeof entry === "string" ? entry.split(" ") : entry;
    const [left, right, more] = Array.isArray(pair) ? (pair as unknown[]) : [];
    if (typeof left !== "string" || typeof right !== "string" || more !== undefined)
      throw wrong(`${fields.at("merges")}[${rank}]`, "two tokens", entry);
    const [a, b, both] = [ids.get(left), ids.get(right), ids.get(left + right.slice(prefixLength))];
    if (a === undefined || b === undefined || both === undefined)
      throw wrong(`${fields.at("merges")}[${rank}]`, "two tokens of the vocabulary that make a third", entry);
    table.set(a, b, rank, both);
  }
  return table;
}

/** Ranks and results by pair of ids, in flat arrays: a Map of 150,000 merges is five times as large, and slower. */
class MergeTable {
  readonly #mask: number;
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly rank: Int32Array;
  readonly merged: Int32Array;

  constructor(count: number) {
    const slots = 1 << Math.max(4, Math.ceil(Math.log2(count + 1)) + 1);
    this.#mask = slots - 1;
    this.#left = new Int32Array(slots).fill(-1);
    this.#right = new Int32Array(slots);
    this.rank = new Int32Array(slots);
    this.merged = new Int32Array(slots);
  }

  #slot(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash = (hash ^ (hash >>> 15)) & this.#mask;
    while (this.#left[hash] !== -1 && (this.#left[hash] !== left || this.#right[hash] !== right))
      hash = (hash + 1) & this.#mask;
    return hash;
  }

  set(left: number, right: number, rank: number, merged: number): void {
    const slot = this.#slot(left, right);
    this.#left[slot] = left;
    this.#right[slot] = right;
    this.rank[slot] = rank;
    this.merged[slot] = merged;
  }

  /** The pair's place in `rank` and `merged`, or -1. */
  find(left: number, right: number): number {
    const slot = this.#slot(left, right);
    return this.#left[slot] === -1 ? -1 : slot;
  }
}

const positions = 0x8000_0000;

/** Merges symbols in place of their neighbours until no pair is left. */
function merge(symbols: number[], table: MergeTable): number[] {
  const count = symbols.length;
  if (count < 2) return symbols;
  const next = new Int32Array(count);
  const previous = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    next[i] = i + 1 === count ? -1 : i + 1;
    previous[i] = i - 1;
  }
  const queue = new MergeQueue();
  const offer = (at: number, after: number): void => {
    const found = table.find(symbols[at]!, symbols[after]!);
    if (found !== -1) queue.push(table.rank[found]! * positions + at, table.merged[found]!);
  };
  for (let i = 0; i + 1 < count; i++) offer(i, i + 1);
  while (queue.size > 0) {
    const at = queue.key % positions;
    const merged = queue.value;
    queue.pop();
    const after = next[at]!;
    if (symbols[at] === -1 || after === -1) continue;
    // An offer of before a neighbour changed holds only where the pair of now makes the same token.
    const found = table.find(symbols[at]!, symbols[after]!);
    if (found === -1 || table.merged[found] !== merged) continue;
    symbols[at] = merged;
    symbols[after] = -1;
    const beyond = (next[at] = next[after]!);
    if (beyond !== -1) previous[beyond] = at;
    const before = previous[at]!;
    if (before !== -1) offer(before, at);
    if (beyond !== -1) offer(at, beyond);
  }
  return symbols.filter((symbol) => symbol !== -1);
}

/** A heap: the lowest rank first, then the leftmost place. */
class MergeQueue {
  readonly #keys: number[] = [];
  readonly #values: number[] = [];

  get size(): number {
    return this.#keys.length;
  }

  get key(): number {
    return this.#keys[0]!;
  }

  get value(): number {
    return this.#values[0]!;
  }

  push(key: number, value: number): void {
    const keys = this.#keys;
    const values = this.#values;
    let at = keys.length;
    keys.push(key);
    values.push(value);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[at] = keys[parent]!;
      values[at] = values[parent]!;
      at = parent;
    }
    keys[at] = key;
    values[at] = value;
  }

  pop(): void {
    const keys = this.#keys;
    const values = this.#values;
    const key = keys.pop()!;
    const value = values.pop()!;
    const size = keys.length;
    if (size === 0) return;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= key) break;
      keys[at] = keys[child]!;
      values[at] = values[child]!;
      at = child;
    }
    keys[at] = key;
    values[at] = value;
  }
}
