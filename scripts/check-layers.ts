// Enforces layers.json: which folder of src/ may import which, and that nobody imports past a folder's index.ts.
// Everyone may import util. `import type` counts. Tests obey the same rule. A name with ~ may be imported as types and lazily,
// with import(): such a folder costs nothing until it works.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";

const root = resolve(import.meta.dirname, "..");
const src = join(root, "src");
const layers = JSON.parse(readFileSync(join(root, "layers.json"), "utf8")) as Record<string, string[]>;

const importPattern =
  /(?:^|\n)\s*(?:import|export)\s[^;'"]*?from\s*["']([^"']+)["']|\bimport\s*\(\s*["']([^"']+)["']\s*\)|(?:^|\n)\s*import\s*["']([^"']+)["']/g;

/** The folder of src/ that a file is in; a folder inside it where layers.json names that by itself (`train/actors`). */
function layerOf(file: string): string | undefined {
  const parts = relative(src, file).split(sep);
  if (parts.length < 2) return undefined;
  const inner = `${parts[0]}/${parts[1]}`;
  return inner in layers ? inner : parts[0];
}

const breaches: string[] = [];
for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
  const file = join(entry.parentPath, entry.name);
  const layer = layerOf(file);
  if (layer === undefined) continue; // src/index.ts only re-exports
  const where = relative(root, file);
  const allowed = layers[layer]?.map((name) => name.replace("~", ""));
  const lazily = layers[layer]?.filter((name) => name.startsWith("~")).map((name) => name.slice(1)) ?? [];
  if (allowed === undefined) {
    breaches.push(`${where}: folder src/${layer} is not in layers.json`);
    continue;
  }
  for (const match of readFileSync(file, "utf8").matchAll(importPattern)) {
    const specifier = match[1] ?? match[2] ?? match[3]!;
    if (!specifier.startsWith(".")) continue;
    const target = resolve(dirname(file), specifier);
    if (!target.startsWith(src + sep)) continue;
    const to = layerOf(target);
    if (to === layer) continue;
    const isTypesOrLazy = match[2] !== undefined || /^\s*(import|export)\s+type\s/.test(match[0]);
    if (lazily.includes(to ?? "") && !isTypesOrLazy && !file.endsWith(".test.ts")) {
      breaches.push(
        `${where}: imports src/${to} when it is loaded; use import type, or import() where it works`,
      );
    }
    if (to !== "util" && !allowed.includes(to ?? "")) {
      breaches.push(
        `${where}: src/${layer} may not import src/${to ?? ""} (${specifier}); allowed: ${["util", ...allowed].join(", ")}`,
      );
    } else if (target !== join(src, to!, "index.ts")) {
      breaches.push(`${where}: imports past the face of src/${to} (${specifier}); import ../${to}/index.ts`);
    }
  }
}
if (breaches.length > 0) {
  console.error(breaches.join("\n"));
  process.exit(1);
}
