// Generates src/torch/generated/ from the schemas of the libtorch that is there. --check fails when what is checked in
// differs. Beside another libtorch than the pinned one it tells what differs there, which is no error.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { addon, info } from "../src/torch/introspect.ts";
import { pinnedVersion } from "../src/setup/index.ts";
import { compareOperators, comparisonLines } from "./generate/compare.ts";
import { emitFunctions, emitMethods } from "./generate/emit.ts";
import { chooseOperators } from "./generate/operators.ts";

const folder = resolve(import.meta.dirname, "../src/torch/generated");
const check = process.argv.includes("--check");

const version = info().torchVersion;
if (version.split("+")[0] !== pinnedVersion) {
  if (!check) {
    console.error(
      `error: operators are generated from libtorch ${pinnedVersion}, found ${version}; give the pinned one, or compare with --check`,
    );
    process.exit(1);
  }
  const unreadable: string[] = [];
  const here = chooseOperators(addon().schemas(), (text) => unreadable.push(text));
  const lines = comparisonLines(compareOperators(here, readFileSync(join(folder, "functions.ts"), "utf8")));
  console.log(
    [
      `src/torch/generated is of libtorch ${pinnedVersion}; beside ${version}${lines.length === 0 ? " nothing differs" : ":"}`,
      ...lines,
      ...unreadable.map((text) => `  not understood: ${text}`),
    ].join("\n"),
  );
  process.exit(0);
}

const groups = chooseOperators(addon().schemas());
const files = new Map([
  ["functions.ts", emitFunctions(groups)],
  ["methods.ts", emitMethods(groups)],
]);
mkdirSync(folder, { recursive: true });
let drifted = false;
for (const [name, text] of files) {
  const path = join(folder, name);
  if (!check) {
    writeFileSync(path, text);
    continue;
  }
  if (readFileSync(path, "utf8") !== text) {
    console.error(`src/torch/generated/${name} has drifted: run npm run generate`);
    drifted = true;
  }
}
const overloads = groups.reduce((sum, group) => sum + group.overloads.length, 0);
console.log(
  `${groups.length} operators, ${overloads} overloads${check ? (drifted ? "" : ": as checked in") : ""}`,
);
if (drifted) process.exit(1);
