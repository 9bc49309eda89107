// Writes what is generated from the configuration's schema: docs/configuration.md, recipes/schema.json and the types
// with documentation; and from the model families their table in docs/models-and-data-sets.md. With --check it writes nothing, and fails where a file differs.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { docsPage, typesFile } from "../src/config/text/docs.ts";
import { families, familyRow } from "../src/models/families/index.ts";
import { jsonSchema } from "../src/config/schema/json-schema.ts";

const familiesPage = "docs/models-and-data-sets.md";

/** The page with the table of families between its marks. */
function pageWithFamilies(page: string): string {
  const [begin, end] = [
    "<!-- families: generated from src/models/families -->\n",
    "<!-- end of families -->",
  ];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from)
    throw new Error(`${familiesPage}: the marks of the table of families are missing`);
  const rows = families.map(familyRow).map(({ modelType, models, sizes, differs, limits }) => {
    const own = limits.length === 0 ? differs : `${differs}. Not supported: ${limits.join("; ")}`;
    return `| \`${modelType}\` | ${models} | ${own} | ${sizes.join(", ")} |`;
  });
  const head = [
    "| `model_type` in config.json | models | what is their own | sizes by name |",
    "|---|---|---|---|",
  ];
  return `${page.slice(0, from + begin.length)}${[...head, ...rows].join("\n")}\n${page.slice(to)}`;
}

const root = resolve(import.meta.dirname, "..");
const files: Readonly<Record<string, string>> = {
  "docs/configuration.md": docsPage(),
  [familiesPage]: pageWithFamilies(readFileSync(join(root, familiesPage), "utf8")),
  "recipes/schema.json": `${JSON.stringify(jsonSchema(), null, 2)}\n`,
  "src/config/generated/types.ts": typesFile(),
};

const stale: string[] = [];
for (const [name, text] of Object.entries(files)) {
  const path = join(root, name);
  if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
  stale.push(name);
  if (process.argv.includes("--check")) continue;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
if (stale.length > 0) {
  if (process.argv.includes("--check")) {
    console.error(
      `${stale.join(", ")}: differs from what it is generated from; run \`node scripts/generate-config-docs.ts\``,
    );
    process.exit(1);
  }
  console.log(`wrote ${stale.join(", ")}`);
}
