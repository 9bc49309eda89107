// TypeScript's JavaScript API, loaded when it is first needed. TypeScript 7 has none, so this is 6.0 as bundled in
// @ts-morph/common: Microsoft's package would install a `tsc` into node_modules/.bin of everyone who installs torchforge.
import { createRequire } from "node:module";

import type { ts } from "@ts-morph/common";

export type TypeScript = typeof ts;

let loaded: TypeScript | undefined;

export function loadTypeScript(): TypeScript {
  loaded ??= createRequire(import.meta.url)("@ts-morph/common/dist/typescript.js") as TypeScript;
  return loaded;
}
