// Enforces layers.json: which folder of src/ may import which, and that nobody imports past a folder's index.ts.
// Everyone may import util. `import type` counts. Tests obey the same rule.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";

const root = resolve(import.meta.dirname, "..");
const src = join(root, "src");
const layers = JSON.parse(readFileSync(join(root, "layers.json"), "utf8")) as Record<string, string[]>;

const importPattern =
  /(?:^|\n)\s*(?:import|export)\s[^;'"]*?from\s*["']([^"']+)["']|\bimport\s*\(\s*["']([^"']+)["']\s*\)|(?:^|\n)\s*import\s*["']([^"']+)["']/g;

const breaches: string[] = [];
for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
  const file = join(entry.parentPath, entry.name);
  const from = relative(src, file).split(sep);
  const layer = from.length > 1 ? from[0]! : undefined;
  if (layer === undefined) continue; // src/index.ts only re-exports
  const where = relative(root, file);
  const allowed = layers[layer];
  if (allowed === undefined) {
    breaches.push(`${where}: folder src/${layer} is not in layers.json`);
    continue;
  }
  for (const match of readFileSync(file, "utf8").matchAll(importPattern)) {
    const specifier = match[1] ?? match[2] ?? match[3]!;
    if (!specifier.startsWith(".")) continue;
    const target = resolve(dirname(file), specifier);
    if (!target.startsWith(src + sep)) continue;
    const to = relative(src, target).split(sep);
    if (to[0] === layer) continue;
    if (to[0] !== "util" && !allowed.includes(to[0]!)) {
      breaches.push(
        `${where}: src/${layer} may not import src/${to[0]} (${specifier}); allowed: ${["util", ...allowed].join(", ")}`,
      );
    } else if (to.length !== 2 || to[1] !== "index.ts") {
      breaches.push(
        `${where}: imports past the face of src/${to[0]} (${specifier}); import ../${to[0]}/index.ts`,
      );
    }
  }
}
if (breaches.length > 0) {
  console.error(breaches.join("\n"));
  process.exit(1);
}
