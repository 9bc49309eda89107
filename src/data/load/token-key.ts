// What the tokens of a data set depend on, in one place: its rows, how they are read, the tokenizer, the template, the settings and
// the software. The hash of all of it is the key of the token cache. Whoever gives `Preparer` something new to depend on adds it to
// PrepareSettings, all of which is hashed here.
import { createHash, randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { strftime } from "../text/jinja/index.ts";
import type { TokenizerFiles } from "../text/tokenizer.ts";
import type { PrepareSettings } from "./prepare.ts";

/** What a saved position must find unchanged, by the words that messages use; each a hash. */
export type DataIdentity = Readonly<Record<DataPart, string>>;

const parts = {
  rows: "the rows of the data",
  formats: "the form or the columns of the rows",
  tokenizer: "the tokenizer",
  template: "the chat template, its variables or the date that it writes",
  settings: "training.train_on or another setting of the rows' text",
} as const;
type DataPart = keyof typeof parts;

/** Hashes of everything that the user brings. `rows` is the hash of the data set's rows, in their order. */
export function dataIdentity(rows: string, settings: PrepareSettings): DataIdentity {
  const { tokenizerFiles, formats, chatTemplate, templateVariables, now, ...others } = settings;
  const { modelConfig, chatTemplates, ...files } = tokenizerFiles;
  // Of config.json the tokens' ids alone: a model with other weights or sizes has the same tokens.
  const ids = Object.entries(modelConfig ?? {}).filter(([name]) => /token|vocab/.test(name));
  const date = templateDate(JSON.stringify([chatTemplate, chatTemplates, files]), now);
  return {
    rows,
    formats: hashOf(formats),
    tokenizer: hashOf([files, ids]),
    template: hashOf([chatTemplate, textsOf(chatTemplates), templateVariables, date]),
    settings: hashOf(others),
  };
}

/** Templates by name, without the places of their files. */
const textsOf = (templates: TokenizerFiles["chatTemplates"]): unknown =>
  Object.entries(templates ?? {}).map(([name, { text }]) => [name, text]);

/** Names what of the data isn't as it was; undefined where all is. */
export function changedParts(saved: DataIdentity, found: DataIdentity): string | undefined {
  const names = Object.keys(parts) as DataPart[];
  const changed = names.filter((name) => saved[name] !== found[name]).map((name) => parts[name]);
  return changed.length === 0 ? undefined : changed.join("; ");
}

/** The name of the token cache's file: of what the user brings, and of the software that made tokens of it. */
export const tokenKey = (identity: DataIdentity, software = softwareHash()): string =>
  hashOf([identity, software]);

/**
 * What a template takes from the clock: the dates that it writes, where its calls of strftime_now say their formats; the very
 * moment, where they don't.
 * @param text templates, as JSON
 */
function templateDate(text: string, now: number): unknown {
  const named = text.replaceAll(/strftime_now\s+is\s+(not\s+)?defined/g, "");
  const uses = named.split("strftime_now").length - 1;
  if (uses === 0) return null;
  const calls = [...named.matchAll(/strftime_now\s*\(\s*(?:\\?"|')([^"'\\]*)(?:\\?"|')\s*\)/g)];
  return calls.length === uses ? calls.map(([, format]) => strftime(new Date(now), format!)) : now;
}

let software: string | undefined;

/** Our own code from rows to tokens, the packages beside it, and Node's Unicode, which regular expressions go by. */
function softwareHash(): string {
  if (software !== undefined) return software;
  const data = join(import.meta.dirname, "..");
  const { unicode, icu } = process.versions;
  return (software = hashOf([ownCode(data), packageVersions(join(data, "..", "..")), unicode, icu]));
}

function ownCode(data: string): unknown {
  try {
    return readdirSync(data, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(ts|js)$/.test(name) && !/\.(test|d)\.ts$/.test(name))
      .sort()
      .map((name) => readFileSync(join(data, name), "utf8"));
  } catch {
    return randomUUID(); // in a bundle the code isn't known: what it made is used by nobody else
  }
}

/** Versions of the packages that this one depends on, as they are installed. */
function packageVersions(folder: string): unknown {
  const own = readJson(join(folder, "package.json"));
  const places = createRequire(import.meta.url).resolve.paths("package") ?? [];
  return Object.keys((own?.["dependencies"] as object | undefined) ?? {}).map((name) => [
    name,
    places.map((place) => readJson(join(place, name, "package.json"))?.["version"]).find(Boolean),
  ]);
}

function readJson(file: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  } catch {
    return undefined; // not there; the next place may have it
  }
}

const hashOf = (value: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(value ?? null))
    .digest("hex");
