// Keeps package.json's `exports` equal to the public folders of src/: every src/NAME/index.ts is `torchforge/NAME`,
// src/index.ts is `torchforge`. With --fix it rewrites them; without, it fails on a difference.
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
/** Folders that are nobody's business but ours. */
const internal: ReadonlySet<string> = new Set(["cli", "setup", "util", "view"]);

const folders = readdirSync(join(root, "src"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !internal.has(entry.name))
  .map((entry) => entry.name)
  .filter((name) => existsSync(join(root, "src", name, "index.ts")))
  .sort();

const exported: Record<string, unknown> = {};
if (existsSync(join(root, "src", "index.ts"))) exported["."] = entry("index");
for (const name of folders) exported[`./${name}`] = entry(`${name}/index`);
exported["./package.json"] = "./package.json";

const file = join(root, "package.json");
const manifest = JSON.parse(readFileSync(file, "utf8")) as { exports: unknown };
if (JSON.stringify(manifest.exports) !== JSON.stringify(exported)) {
  if (process.argv.includes("--fix")) {
    writeFileSync(file, `${JSON.stringify({ ...manifest, exports: exported }, null, 2)}\n`);
  } else {
    console.error("package.json: exports differ from the public folders of src/; run `npm run fix`");
    process.exit(1);
  }
}

function entry(path: string): { types: string; default: string } {
  return { types: `./dist/${path}.d.ts`, default: `./dist/${path}.js` };
}
