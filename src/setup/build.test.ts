import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { addonTarget } from "./addon-key.ts";
import { buildAddon } from "./build.ts";
import { requireLibtorch } from "./locate.ts";

// A build against the real libtorch, of two small sources that need only Node-API and c10: some seconds each.
const timeout = 240_000;
const libtorch = requireLibtorch();
let folder: string;
let sources: string;
let savedCache: string | undefined;

before(() => {
  folder = mkdtempSync(join(tmpdir(), "torchforge-build-"));
  sources = join(folder, "native");
  savedCache = process.env["TORCHFORGE_CACHE"];
  process.env["TORCHFORGE_CACHE"] = join(folder, "cache");
});

after(() => {
  if (savedCache === undefined) delete process.env["TORCHFORGE_CACHE"];
  else process.env["TORCHFORGE_CACHE"] = savedCache;
  rmSync(folder, { recursive: true });
});

function writeSources(answer: string): void {
  const module = `#include <node_api.h>
#include <c10/core/ScalarType.h>
#include "answer.h"
static napi_value Init(napi_env env, napi_value exports) {
  napi_value value;
  napi_create_int32(env, answer() + int(c10::elementSize(c10::ScalarType::BFloat16)), &value);
  napi_set_named_property(env, exports, "answer", value);
  return exports;
}
NAPI_MODULE(torchforge, Init)
`;
  rmSync(sources, { recursive: true, force: true });
  createSources({ "module.cc": module, "answer.h": "int answer();\n", "answer.cc": answer });
}

function createSources(files: Record<string, string>): void {
  mkdirSync(sources, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(sources, name), text);
}

function currentKey(): string {
  return addonTarget(libtorch, sources).key;
}

function objects(): string[] {
  return readdirSync(join(folder, "cache", "objects")).sort();
}

test("builds, loads, and compiles again only the source that changed", { timeout }, async () => {
  writeSources('#include "answer.h"\nint answer() { return 40; }\n');
  const progress: string[] = [];
  const first = await buildAddon(libtorch, { dir: sources, onProgress: (line) => progress.push(line) });
  assert.match(progress[0]!, /^building the addon 0\/2 \d+ s$/);
  assert.match(progress.at(-1)!, /^building the addon 2\/2 \d+ s$/);
  assert.equal((createRequire(import.meta.url)(first) as { answer: number }).answer, 42);
  const before = objects();
  assert.equal(before.length, 2);

  writeSources('#include "answer.h"\nint answer() { return 41; }\n');
  const second = await buildAddon(libtorch, { dir: sources });
  assert.notEqual(second, first);
  assert.equal((createRequire(import.meta.url)(second) as { answer: number }).answer, 43);
  const added = objects().filter((name) => !before.includes(name));
  assert.equal(added.length, 1);
  assert.match(added[0]!, /^answer\.cc-/);

  const again: string[] = [];
  assert.equal(await buildAddon(libtorch, { dir: sources, onProgress: (line) => again.push(line) }), second);
  assert.deepEqual(again, [], "a cached addon is silent");
});

test("a changed header changes the key; a file that is not source does not", () => {
  writeSources("int answer() { return 40; }\n");
  const before = currentKey();
  createSources({ "README.md": "text" });
  assert.equal(currentKey(), before);
  createSources({ "answer.h": "int answer(); // changed\n" });
  assert.notEqual(currentKey(), before);
});

test("an error of the compiler shows its first lines and the log", { timeout }, async () => {
  writeSources("int answer() { return forty; }\n");
  await assert.rejects(buildAddon(libtorch, { dir: sources }), (error: Error) => {
    assert.equal(error.name, "UserError");
    assert.match(error.message, /^Building the addon failed at answer\.cc \(/);
    assert.match(error.message, /error: .*forty.* was not declared|use of undeclared identifier/);
    assert.match(error.message, /The full log: .*\.log$/);
    return true;
  });
  const leftovers = readdirSync(join(folder, "cache", "addons")).filter((name) => /\.(lock|tmp)$/.test(name));
  assert.deepEqual(leftovers, []);
});

test("without a compiler the error names what to install", async () => {
  writeSources("int answer() { return 3; }\n");
  await assert.rejects(
    buildAddon(libtorch, { dir: sources, env: { PATH: join(folder, "empty") } }),
    (error: Error) => {
      assert.equal(error.name, "UserError");
      for (const name of [
        "apt-get install g++",
        "dnf install gcc-c++",
        "xcode-select --install",
        "conda install",
      ]) {
        assert.ok(error.message.includes(name), name);
      }
      return true;
    },
  );
  await assert.rejects(
    buildAddon(libtorch, { dir: sources, env: { CXX: "no-such-compiler -x" } }),
    /CXX: expected a C\+\+ compiler, found "no-such-compiler -x"/,
  );
});

test("two processes build once: the second waits and takes the first's", { timeout }, async () => {
  writeSources('#include "answer.h"\nint answer() { return 50; }\n');
  const program = `
    import { buildAddon } from ${JSON.stringify(join(import.meta.dirname, "build.ts"))};
    import { requireLibtorch } from ${JSON.stringify(join(import.meta.dirname, "locate.ts"))};
    const lines = [];
    const file = await buildAddon(requireLibtorch(), { dir: ${JSON.stringify(sources)}, onProgress: (l) => lines.push(l) });
    console.log(JSON.stringify({ file, built: lines.some((l) => l.startsWith("building")) }));
  `;
  // The private venv of the outer cache must still be found from the inner one.
  const env = { ...process.env, TORCHFORGE_LIBTORCH: libtorch.root };
  const run = () =>
    new Promise<string>((done, fail) => {
      const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", program], { env });
      let out = "";
      let err = "";
      child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
      child.on("close", (code) => (code === 0 ? done(out) : fail(new Error(err))));
    });
  const outcomes = (await Promise.all([run(), run()])).map(
    (line) => JSON.parse(line) as { file: string; built: boolean },
  );
  assert.equal(outcomes[0]!.file, outcomes[1]!.file);
  // How the loser learns of it depends on when it started: it waited, or found the addon there.
  assert.equal(outcomes.filter(({ built }) => built).length, 1);
});
