// Unigram: the division of a text whose tokens' scores add up to the most (Kudo 2018, "Subword Regularization").
import type { Fields } from "./fields.ts";
import { wrong } from "./fields.ts";
import { byteToken, type TokenModel } from "./vocabulary.ts";

/** A character without a token costs this much more than the least likely token. */
const unknownPenalty = 10;

export function unigram(fields: Fields): TokenModel {
  const tokens: string[] = [];
  const scores: number[] = [];
  const ids = new Map<string, number>();
  for (const [id, entry] of fields.list("vocab").entries()) {
    const [token, score] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof token !== "string" || typeof score !== "number")
      throw wrong(`${fields.at("vocab")}[${id}]`, "[token, score]", entry);
    tokens.push(token);
    scores.push(score);
    ids.set(token, id);
  }
  if (tokens.length === 0) throw wrong(fields.at("vocab"), "tokens", []);
  const unkId = fields.value["unk_id"] == null ? undefined : fields.integer("unk_id");
  if (unkId !== undefined && unkId >= tokens.length)
    throw wrong(fields.at("unk_id"), `an id below ${tokens.length}`, unkId);
  const bytes = fields.flag("byte_fallback", false)
    ? Array.from({ length: 256 }, (_, byte) => ids.get(byteToken(byte)))
    : undefined;
  const lowest = scores.reduce((a, b) => Math.min(a, b), Infinity);
  const trie = trieOf(tokens);
  const noUnk = (): never => {
    throw wrong(fields.at("unk_id"), "an id, since a text has a character without a token", null);
  };

  /** Where each token of the best division ends, from the last to the first. */
  const divide = (text: string): { start: number; end: number; id: number }[] => {
    const size = text.length;
    const best = new Float64Array(size + 1);
    const from = new Int32Array(size + 1).fill(-1);
    const idAt = new Int32Array(size + 1);
    const reach = (end: number, start: number, score: number, id: number): void => {
      if (from[end] !== -1 && score <= best[end]!) return;
      best[end] = score;
      from[end] = start;
      idAt[end] = id;
    };
    for (let start = 0; start < size;) {
      const here = best[start]!;
      const next = start + (text.codePointAt(start)! > 0xffff ? 2 : 1);
      let hasSingle = false;
      let node: Node | undefined = trie;
      for (let end = start; end < size;) {
        node = node.next?.get(text.charCodeAt(end++));
        if (node === undefined) break;
        if (node.id === -1) continue;
        reach(end, start, here + scores[node.id]!, node.id);
        if (end === next) hasSingle = true;
      }
      if (!hasSingle) reach(next, start, lowest - unknownPenalty + here, unkId ?? noUnk());
      start = next;
    }
    const parts: { start: number; end: number; id: number }[] = [];
    for (let end = size; end > 0; end = from[end]!) parts.push({ start: from[end]!, end, id: idAt[end]! });
    return parts;
  };

  const push = (found: number[], token: string): void => {
    const id = ids.get(token);
    if (id !== undefined) return void found.push(id);
    const spelled = bytes && Array.from(Buffer.from(token), (byte) => bytes[byte]);
    if (spelled?.every((byte) => byte !== undefined)) found.push(...spelled);
    else found.push(unkId ?? noUnk());
  };

  const encode = (word: string): number[] => {
    const found: number[] = [];
    const parts = divide(word).reverse();
    for (let i = 0; i < parts.length; i++) {
      const { start } = parts[i]!;
      // Neighbours without a token are one.
      if (parts[i]!.id === unkId) while (parts[i + 1]?.id === unkId) i++;
      push(found, word.slice(start, parts[i]!.end));
    }
    return found;
  };
  return { encode, idOf: (token) => ids.get(token), tokens, size: tokens.length, unkId };
}

interface Node {
  id: number;
  next: Map<number, Node> | undefined;
}

function trieOf(tokens: readonly string[]): Node {
  const root: Node = { id: -1, next: undefined };
  for (const [id, token] of tokens.entries()) {
    let node = root;
    for (let i = 0; i < token.length; i++) {
      node.next ??= new Map();
      const code = token.charCodeAt(i);
      let child = node.next.get(code);
      if (child === undefined) node.next.set(code, (child = { id: -1, next: undefined }));
      node = child;
    }
    node.id = id;
  }
  root.id = -1;
  return root;
}
