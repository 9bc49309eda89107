#!/usr/bin/env node
// The executable. In the repository it runs the sources as they are; in the published package, dist. It is plain
// JavaScript of long ago, so that an old Node gets a sentence and not a syntax error.
import { existsSync } from "node:fs";

const [major, minor] = process.versions.node.split(".").map(Number);
const source = new URL("../src/cli/main.ts", import.meta.url);
const inRepository = existsSync(source);
// Sources say `using`, which Node knows since 24; the published JavaScript is compiled for earlier ones too.
const needed = inRepository ? [24, 0] : [22, 3];
if (major < needed[0] || (major === needed[0] && minor < needed[1])) {
  console.error(
    `error: torchforge needs Node ${needed.join(".")} or later, found ${process.versions.node}.` +
      (inRepository ? " In the repository node_modules/.bin/node is one: npm run and npx take it." : ""),
  );
  process.exit(2);
}
await import(inRepository ? source.href : new URL("../dist/cli/main.js", import.meta.url).href);
