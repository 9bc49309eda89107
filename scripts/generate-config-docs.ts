// Writes what is generated from the configuration's schema: docs/configuration.md, recipes/schema.json and the types
// with documentation. With --check it writes nothing, and fails where a file differs.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { docsPage, typesFile } from "../src/config/text/docs.ts";
import { jsonSchema } from "../src/config/schema/json-schema.ts";

const root = resolve(import.meta.dirname, "..");
const files: Readonly<Record<string, string>> = {
  "docs/configuration.md": docsPage(),
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
      `${stale.join(", ")}: differs from the schema; run \`node scripts/generate-config-docs.ts\``,
    );
    process.exit(1);
  }
  console.log(`wrote ${stale.join(", ")}`);
}
