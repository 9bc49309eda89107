// What `import … from "torchforge"` costs: no native library, and none of the code that runs in the workers.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import test from "node:test";

import { environment, root } from "../programs.ts";

const program = `
  import { registerHooks } from "node:module";
  const loaded = [];
  registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
  const all = await import(process.env.INDEX);
  const native = process.report.getReport().sharedObjects.filter((file) => file.includes("torch"));
  console.log(JSON.stringify({ names: Object.keys(all), loaded, native }));
`;

test("importing the actors loads neither libtorch nor the trainer", { timeout: 60_000 }, () => {
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    env: { ...environment, INDEX: join(root, "src", "index.ts") },
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  const { names, loaded, native } = JSON.parse(stdout) as Record<"names" | "loaded" | "native", string[]>;
  for (const name of [
    "Config",
    "runActor",
    "SpawnActor",
    "TrainerActor",
    "EvaluatorActor",
    "InferencerActor",
  ])
    assert.ok(names.includes(name), name);
  assert.deepEqual(native, []);
  const folders = new Set(loaded.flatMap((url) => /\/src\/(train\/\w+|\w+)/.exec(url)?.[1] ?? []));
  assert.deepEqual(
    [...folders].toSorted((a, b) => a.localeCompare(b)),
    ["actors", "config", "index", "metrics", "train/actors", "train/utils", "util", "view"],
  );
});
