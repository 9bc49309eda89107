import assert from "node:assert/strict";
import { test } from "node:test";

import { requireNode, requireProgram } from "./program-file.ts";

test("a program that a bundler left behind is named, with what to do", () => {
  const here = new URL(import.meta.url);
  assert.equal(requireProgram(here), here);
  assert.throws(() => requireProgram(new URL("./gone.js", here)), {
    name: "UserError",
    message:
      /gone\.js isn't there: a bundler has packed torchforge.* Mark the package external \(esbuild --external:torchforge/,
  });
});

test("Bun and Deno are told that it needs Node", () => {
  requireNode("SpawnActor", { node: "26.1.0" });
  for (const [name, versions] of Object.entries({
    "Bun 1.3.0": { bun: "1.3.0" },
    "Deno 2.5.0": { deno: "2.5.0" },
  }))
    assert.throws(() => requireNode("SpawnActor", { node: "24.0.0", ...versions }), {
      name: "UserError",
      message: `SpawnActor needs Node, found ${name}; run the program with node.`,
    });
});
