// The message for a name that is no key: where it went, or which key is near.
import { distance } from "fastest-levenshtein";

import { allKeys, genericPath, pathText, type Key, type Path } from "../schema/keys.ts";
import { insteadOfOtherTool, keyOfOtherTool } from "./other-tools.ts";
import { foreignKeyMessage } from "./support.ts";

const plain = (name: string) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");

/** 0 for the same letters, 1 for nothing in common; upper case, `_` and `-` do not count. */
function unlikeness(a: string, b: string): number {
  const [x, y] = [plain(a), plain(b)];
  return x.length + y.length === 0 ? 1 : distance(x, y) / Math.max(x.length, y.length);
}

function nearest<T>(
  wanted: string,
  candidates: readonly T[],
  nameOf: (candidate: T) => string,
  limit: number,
) {
  let best: T | undefined;
  let bestScore = limit;
  for (const candidate of candidates) {
    const score = unlikeness(wanted, nameOf(candidate));
    if (score < bestScore) [best, bestScore] = [candidate, score];
  }
  return best;
}

/** The nearest of a few words (the values of an enum), if any is near; `limit`: the part of its letters that may differ. */
export function nearestWord(word: string, words: readonly string[], limit = 0.5): string | undefined {
  return nearest(word, words, (candidate) => candidate, limit);
}

const lastOf = (key: Key) => key.path.at(-1)!;

/**
 * The key that someone who wrote `path` most likely meant: nearly the same name in the same section, the same name in
 * another section, the nearest in the same section, the nearest of all; undefined where nothing is near.
 */
export function nearestKey(path: Path): string | undefined {
  const last = String(path.at(-1));
  const generic = genericPath(path);
  const parent = generic.slice(0, -1);
  const isHere = (key: Key) =>
    key.path.length === generic.length && parent.every((segment, i) => segment === key.path[i]);
  const here = allKeys().filter(isHere);
  const elsewhere = allKeys().filter(
    (key) => !isHere(key) && !key.path.includes("[]") && (path.length === 1 || !key.isSection),
  );
  const found =
    nearest(last, here, lastOf, 0.3) ??
    nearest(last, elsewhere, lastOf, 0.01) ??
    nearest(last, here, lastOf, 0.51) ??
    nearest(pathText(path), elsewhere, (key) => key.name, 0.4) ??
    nearest(last, elsewhere, lastOf, 0.3);
  if (found === undefined) return undefined;
  return isHere(found) ? pathText([...path.slice(0, -1), lastOf(found)]) : found.name;
}

/** The message for a name that other tools have and that has no key here; undefined for any other. */
export function foreignMessage(path: Path): string | undefined {
  const instead = insteadOfOtherTool(String(path.at(-1)));
  return (
    foreignKeyMessage(path) ??
    (instead === undefined ? undefined : `${pathText(path)} is not a key; ${instead}`)
  );
}

/** The message for a name that is no key. */
export function unknownKeyMessage(path: Path): string {
  const name = pathText(path);
  const dotted = path.length === 1 ? String(path[0]).split(".") : [];
  if (dotted.length === 2 && allKeys().some((key) => key.name === dotted.join(".")))
    return `"${dotted.join(".")}" is one name here; write the section with its key in it: ${dotted[0]}: { ${dotted[1]}: … }`;
  const foreign = foreignMessage(path);
  if (foreign !== undefined) return foreign;
  const near = keyOfOtherTool(String(path.at(-1))) ?? nearestKey(path);
  if (near !== undefined) return `${name} is not a key; did you mean ${near}?`;
  const parent = path.slice(0, -1);
  const known = namesUnder(parent);
  if (known.length === 0) return `${name} is not a key; \`forge config explain\` lists all keys`;
  return parent.length === 0
    ? `${name} is not a section; the sections are: ${known.join(", ")}`
    : `${name} is not a key; the keys of ${pathText(parent)} are: ${known.join(", ")}`;
}

/** Names of the keys directly under a path. */
export function namesUnder(path: Path): string[] {
  const generic = genericPath(path);
  return allKeys()
    .filter((key) => key.path.length === generic.length + 1 && generic.every((s, i) => s === key.path[i]))
    .map((key) => key.path.at(-1)!);
}
