// layers.json: what the folders of src/ hold, and which of them may import which. Reads it and the imports of src/;
// check.ts compares the two, page.ts draws them.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";

export const root = resolve(import.meta.dirname, "..", "..");
export const src = join(root, "src");

export interface Layer {
  /** In a line, for the architecture page. */
  readonly holds: string;
  /** Layers that it may import; with ~ as types, and lazily, when it works: such a layer costs nothing at import. */
  readonly imports: readonly string[];
  /** Its folders, and what each holds. */
  readonly rooms?: Readonly<Record<string, string>>;
}

export const layers = JSON.parse(readFileSync(join(root, "layers.json"), "utf8")) as Readonly<
  Record<string, Layer>
>;

/** The layer of a file of src/: its folder, or a folder inside it that layers.json names by itself (`train/actors`). */
export function layerOf(file: string): string | undefined {
  const parts = relative(src, file).split(sep);
  if (parts.length < 2) return undefined;
  const inner = `${parts[0]}/${parts[1]}`;
  return inner in layers ? inner : parts[0];
}

export interface Import {
  /** Absolute paths. */
  readonly from: string;
  readonly to: string;
  /** `lazy`: import() where it works. */
  readonly kind: "value" | "type" | "lazy";
}

const importPattern =
  /(?:^|\n)\s*(?:import|export)(\s+type)?\s[^;'"]*?from\s*["']([^"']+)["']|\bimport\s*\(\s*["']([^"']+)["']\s*\)|(?:^|\n)\s*import\s*["']([^"']+)["']/g;

/** All files of src/, and what they import of it. */
export function readImports(): { files: string[]; imports: Import[] } {
  const files = readdirSync(src, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const imports = files.flatMap((from) =>
    [...readFileSync(from, "utf8").matchAll(importPattern)].flatMap((match): Import[] => {
      const [, isType, named, lazy, bare] = match;
      const specifier = named ?? lazy ?? bare!;
      if (!specifier.startsWith(".")) return [];
      const to = resolve(dirname(from), specifier);
      const kind = lazy !== undefined ? "lazy" : isType !== undefined ? "type" : "value";
      return to.startsWith(src + sep) ? [{ from, to, kind }] : [];
    }),
  );
  return { files, imports };
}
