// Generates src/torch/generated/ from the schemas of the libtorch that is there. --check fails when what is checked in
// differs; it passes over libtorch versions other than the pinned one, whose operators may differ.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { addon, info } from "../src/torch/introspect.ts";
import { pinnedVersion } from "../src/setup/index.ts";
import { emitFunctions, emitMethods } from "./generate/emit.ts";
import { chooseOperators } from "./generate/operators.ts";

const folder = resolve(import.meta.dirname, "../src/torch/generated");
const check = process.argv.includes("--check");

const version = info().torchVersion;
if (version.split("+")[0] !== pinnedVersion) {
  console.error(`The operators are generated from libtorch ${pinnedVersion}; here is ${version}.`);
  process.exit(check ? 0 : 1);
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
