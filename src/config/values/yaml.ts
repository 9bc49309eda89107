// YAML in and out, by the `yaml` package (YAML 1.2: 1e-5 is a number, yes and no are text).
// Loaded at first use, so that importing the configuration stays quick.
import { createRequire } from "node:module";

import type * as Yaml from "yaml";
import { z } from "zod";

import { UserError } from "../../util/index.ts";
import { findKey, pathText, type Path } from "../schema/keys.ts";
import type { Locate } from "../rules/problems.ts";

let loaded: typeof Yaml | undefined;

function yaml(): typeof Yaml {
  loaded ??= createRequire(import.meta.url)("yaml") as typeof Yaml;
  return loaded;
}

/** A YAML document, and where each key of it is written. */
export interface YamlSource {
  value: unknown;
  locate: Locate;
}

/** Characters. A hundred times a long configuration; the parser's time grows with the square of a mapping's keys. */
const mostCharacters = 256 * 1024;
/** Of a file that isn't YAML at all. */
const mostErrors = 20;

/**
 * Reads one YAML document.
 * @throws UserError (exit code 2) with file, line and column where the text is not YAML.
 */
export function readYaml(text: string, file: string): YamlSource {
  if (text.length > mostCharacters)
    throw new UserError(
      `${file}: expected a configuration of at most ${mostCharacters / 1024} KiB, found ${Math.ceil(text.length / 1024)} KiB. ` +
        "Is it the right file? Rows and long texts belong into files of their own, which the configuration names.",
      { exitCode: 2 },
    );
  const { parseDocument, LineCounter, isNode, isMap, isPair, isScalar } = yaml();
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const bad = [...document.errors, ...document.warnings];
  if (bad.length > 0) {
    const found = bad.slice(0, mostErrors).map((error) => `${place(error.pos[0])}: ${error.message}`);
    if (bad.length > mostErrors) found.push(`… and ${bad.length - mostErrors} more`);
    throw new UserError(found.join("\n"), { exitCode: 2 });
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new UserError(`${file}: ${error instanceof Error ? error.message : String(error)}`, {
      exitCode: 2,
    });
  }
  if (containsItself(value))
    throw new UserError(`${file}: an alias (*name) stands within its own anchor (&name)`, { exitCode: 2 });
  const locate = (path: Path): string | undefined => {
    // The key itself where it is written; else the nearest section around it.
    for (let length = path.length; length > 0; length--) {
      const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
      const last = path[length - 1];
      if (isMap(parent)) {
        const pair = parent.items.find(
          (item) => isPair(item) && isScalar(item.key) && item.key.value === last,
        );
        if (pair !== undefined && isNode(pair.key) && pair.key.range) return place(pair.key.range[0]);
      } else if (length > 1) {
        const node = document.getIn(path.slice(0, length), true);
        if (isNode(node) && node.range) return place(node.range[0]);
      }
    }
    return file;
  };
  return { value, locate };
}

/** The YAML value of a short text: `1e-5` is a number, `[1, 2]` a list, `null` null; text that is no YAML stays text. */
export function parseScalar(text: string): unknown {
  const document = yaml().parseDocument(text);
  if (document.errors.length + document.warnings.length > 0) return text;
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return containsItself(value) ? text : value;
  } catch {
    return text;
  }
}

/** An anchor may be named within what it stands for. */
function containsItself(value: unknown, within: readonly unknown[] = []): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (within.includes(value)) return true;
  return Object.values(value).some((inner) => containsItself(inner, [...within, value]));
}

/**
 * The value of a short text for a key: as YAML, but kept as it is where the key wants text (job.name=2026), and where YAML would
 * take a part of it for a comment (job.description=run #2).
 */
export function parseValue(text: string, path: Path): unknown {
  const value = parseScalar(text);
  const wanted = findKey(pathText(path))?.schema;
  const isText = wanted !== undefined && acceptsText(wanted);
  if (isText && /(^|\s)#/.test(text) && !/^["']/.test(text)) return text;
  if (typeof value === "string" || value === null) return value;
  return isText ? text : value;
}

function acceptsText(type: z.ZodType): boolean {
  if (type instanceof z.ZodDefault || type instanceof z.ZodNullable)
    return acceptsText(type.unwrap() as z.ZodType);
  return type instanceof z.ZodString;
}

/** YAML text of plain data; `comment` gives the end-of-line comment of a leaf. */
export function writeYaml(
  value: unknown,
  comment: (path: Path) => string | undefined = () => undefined,
): string {
  const { Document, visit, isScalar, isPair } = yaml();
  const document = new Document(value);
  visit(document, {
    Scalar(_, node) {
      // 1e-5 as people write learning rates, not 0.00001.
      const { value } = node;
      if (typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3) node.format = "EXP";
    },
    Pair(_, pair, ancestors) {
      const path: (string | number)[] = [];
      for (const node of [...ancestors, pair])
        if (isPair(node) && isScalar(node.key)) path.push(String(node.key.value));
      const text = comment(path);
      if (text === undefined) return;
      if (isScalar(pair.value)) pair.value.comment = ` ${text}`;
      else if (isScalar(pair.key)) pair.key.comment = ` ${text}`;
    },
  });
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}
