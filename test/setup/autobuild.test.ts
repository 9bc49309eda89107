// The first operation on a machine where the addon is not compiled yet: it compiles, or says which command does. With a
// copy of the package whose native/ is one small source, so that it takes seconds.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { requireLibtorch } from "../../src/setup/index.ts";
import { environment, root, run } from "../programs.ts";

const timeout = 200_000;
const moduleSource = `#include <node_api.h>
static napi_value Init(napi_env env, napi_value exports) {
  napi_value value;
  napi_create_int32(env, 42, &value);
  napi_set_named_property(env, exports, "answer", value);
  return exports;
}
NAPI_MODULE(torchforge, Init)
`;

let folder: string;
before(
  () => {
    folder = mkdtempSync(join(tmpdir(), "torchforge-autobuild-"));
    run(process.execPath, [join(root, "scripts", "build.ts")]);
    cpSync(join(root, "dist"), join(folder, "dist"), { recursive: true });
    cpSync(join(root, "package.json"), join(folder, "package.json"));
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    mkdirSync(join(folder, "native"));
    writeFileSync(join(folder, "native", "module.cc"), moduleSource);
  },
  { timeout },
);
after(() => rmSync(folder, { recursive: true }));

function load(extra: NodeJS.ProcessEnv): { status: number | null; stdout: string; stderr: string } {
  const env = {
    ...environment,
    TORCHFORGE_CACHE: join(folder, "cache"),
    TORCHFORGE_LIBTORCH: requireLibtorch().root,
    ...extra,
  };
  const program = `
    const { loadAddon } = await import(${JSON.stringify(join(folder, "dist", "torch", "addon", "load.js"))});
    try { console.log(loadAddon().answer); } catch (error) { console.log(error.name + ": " + error.message); }
  `;
  return spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    env,
    timeout,
  });
}

test("TORCHFORGE_AUTOBUILD=0, or no compiler: the command that builds it", { timeout }, () => {
  const expected =
    /^UserError: torchforge's addon is not built for this libtorch yet\. Run `npx torchforge setup`/;
  assert.match(load({ TORCHFORGE_AUTOBUILD: "0" }).stdout, expected);
  assert.match(load({ PATH: "" }).stdout, expected);
});

test("a build that fails shows the compiler's words, and points at the doctor", { timeout }, () => {
  writeFileSync(join(folder, "native", "module.cc"), `${moduleSource}\n#error told you so\n`);
  const { stdout, stderr } = load({});
  writeFileSync(join(folder, "native", "module.cc"), moduleSource);
  assert.match(stderr, /Building the addon failed at module\.cc .*\n.*told you so/);
  assert.match(
    stdout,
    /^UserError: torchforge's addon could not be built \(see above\)\. Run `npx torchforge doctor`/,
  );
});

test("it is built with progress on stderr, and the next process loads it in silence", { timeout }, () => {
  const first = load({});
  assert.equal(first.stdout, "42\n", first.stderr);
  assert.match(first.stderr, /^building the addon 0\/1 0 s\n/);
  const second = load({ PATH: "" });
  assert.equal(second.stdout, "42\n");
  assert.equal(second.stderr, "");
});

test("a broken addon says where it lies and what to do", { timeout }, () => {
  const found = run("find", [join(folder, "cache", "addons"), "-name", "torchforge.node"]).trim();
  writeFileSync(found, "not a library");
  const { stdout } = load({});
  assert.match(stdout, /^UserError: The addon does not load: /);
  assert.match(stdout, /Remove the addon's folder and run `npx torchforge setup`/);
});
