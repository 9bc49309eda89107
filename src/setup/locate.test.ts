import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { compileFlags, readSources } from "./addon-key.ts";
import { compareVersions, libraryFile, locateLibtorch, requireLibtorch } from "./locate.ts";

let folder: string;
let savedCache: string | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "torchforge-locate-"));
  savedCache = process.env["TORCHFORGE_CACHE"];
  process.env["TORCHFORGE_CACHE"] = join(folder, "cache");
});

afterEach(() => {
  if (savedCache === undefined) delete process.env["TORCHFORGE_CACHE"];
  else process.env["TORCHFORGE_CACHE"] = savedCache;
  rmSync(folder, { recursive: true });
});

function write(file: string, text = ""): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

/** A torch package with no more in it than locating looks at. */
function fakeTorch(root: string, version: string, libraries = ["torch_cpu"]): string {
  write(join(root, "version.py"), `from typing import Optional\n__version__ = '${version}'\n`);
  write(join(root, "include", "ATen", "ATen.h"));
  for (const library of libraries) write(join(root, "lib", libraryFile(library)));
  return root;
}

function fakeEnvironment(name: string, version: string, libraries?: string[]): string {
  const prefix = join(folder, name);
  fakeTorch(join(prefix, "lib", "python3.12", "site-packages", "torch"), version, libraries);
  return prefix;
}

test("the order of places: TORCHFORGE_LIBTORCH, VIRTUAL_ENV, CONDA_PREFIX, python3, private venv", () => {
  const env: Record<string, string> = { PATH: "" };
  const at = () => locateLibtorch(env).libtorch;
  assert.equal(at(), undefined);

  fakeEnvironment(join("cache", "venv-torch-2.13.0"), "2.13.0");
  assert.equal(at()?.from, "private venv");

  const onPath = fakeEnvironment("on-path", "2.12.0");
  write(join(onPath, "pyvenv.cfg"));
  write(join(onPath, "bin", "python3"));
  env["PATH"] = join(onPath, "bin");
  assert.equal(at()?.from, "private venv", "a python3 that can't be executed is not one");

  env["CONDA_PREFIX"] = fakeEnvironment("conda", "2.11.0");
  assert.equal(at()?.version, "2.11.0");
  env["VIRTUAL_ENV"] = fakeEnvironment("venv", "2.10.0+cu130", ["torch_cpu", "torch_cuda"]);
  assert.deepEqual({ from: at()?.from, cuda: at()?.cuda }, { from: "VIRTUAL_ENV", cuda: true });
  env["TORCHFORGE_LIBTORCH"] = fakeEnvironment("explicit", "2.9.1");
  assert.deepEqual({ from: at()?.from, cuda: at()?.cuda }, { from: "TORCHFORGE_LIBTORCH", cuda: false });
});

test("python3 on PATH is asked once, and again when its packages change", () => {
  const site = join(folder, "site");
  fakeTorch(join(site, "torch"), "2.13.0");
  const log = join(folder, "asked");
  const python = join(folder, "bin", "python3");
  const answer = JSON.stringify({ torch: join(site, "torch", "__init__.py"), path: [site] });
  write(join(site, "torch", "__init__.py"));
  mkdirSync(dirname(python));
  writeFileSync(python, `#!/bin/sh\necho asked >> '${log}'\necho '${answer}'\n`, { mode: 0o755 });
  const env = { PATH: `${join(folder, "bin")}:/usr/bin:/bin` };
  const asked = () => readLines(log);

  assert.equal(locateLibtorch(env).libtorch?.from, "python3");
  assert.equal(locateLibtorch(env).libtorch?.root, join(site, "torch"));
  assert.equal(asked(), 1);
  write(join(site, "new-package", "x.py"));
  assert.equal(locateLibtorch(env).libtorch?.from, "python3");
  assert.equal(asked(), 2);
});

test("an active Python with an old torch is passed over, and named when nothing else is there", () => {
  const env = { PATH: "", VIRTUAL_ENV: fakeEnvironment("old", "2.4.1") };
  const { rejected } = locateLibtorch(env);
  assert.equal(rejected.length, 1);
  assert.match(rejected[0]!.reason, /expected torch 2\.9\.0 or later, found 2\.4\.1/);
  assert.throws(
    () => requireLibtorch(env),
    /libtorch was not found, and what was found can't be used:\n {2}VIRTUAL_ENV/,
  );
});

test("TORCHFORGE_LIBTORCH is never passed over", () => {
  const missing = join(folder, "nothing");
  assert.throws(() => locateLibtorch({ TORCHFORGE_LIBTORCH: missing }), {
    name: "UserError",
    exitCode: 2,
    message: /TORCHFORGE_LIBTORCH: expected a libtorch or torch folder, found nothing at /,
  });
  const old = fakeTorch(join(folder, "old"), "2.8.0");
  assert.throws(
    () => locateLibtorch({ TORCHFORGE_LIBTORCH: old }),
    /TORCHFORGE_LIBTORCH: expected torch 2\.9\.0 or later, found 2\.8\.0/,
  );
  mkdirSync(join(folder, "empty"));
  assert.throws(
    () => locateLibtorch({ TORCHFORGE_LIBTORCH: join(folder, "empty") }),
    /expected torch\/version\.py or a build-version file, found neither/,
  );
  const bare = join(folder, "bare");
  write(join(bare, "version.py"), "__version__ = '2.13.0'\n");
  write(join(bare, "lib", libraryFile("torch_cpu")));
  assert.throws(() => locateLibtorch({ TORCHFORGE_LIBTORCH: bare }), /without its C\+\+ headers/);
});

test("the folder of a libtorch zip, which has no Python in it", () => {
  const zip = join(folder, "libtorch");
  write(join(zip, "build-version"), "2.13.0+cu130\n");
  write(join(zip, "include", "ATen", "ATen.h"));
  write(join(zip, "lib", libraryFile("torch_cpu")));
  write(join(zip, "lib", libraryFile("torch_cuda")));
  write(join(zip, "share", "cmake", "Torch", "TorchConfig.cmake"), 'set(X "-D_GLIBCXX_USE_CXX11_ABI=0")');
  const { libtorch } = locateLibtorch({ TORCHFORGE_LIBTORCH: zip });
  assert.equal(libtorch?.version, "2.13.0+cu130");
  assert.equal(libtorch?.cuda, true);
  assert.equal(libtorch?.cxx11Abi, false);
});

test("NCCL is compiled in where a CUDA build's headers are: the nvidia wheels beside torch", () => {
  const prefix = fakeEnvironment("cuda", "2.13.0+cu130", ["torch_cpu", "torch_cuda"]);
  const env = { TORCHFORGE_LIBTORCH: prefix, PATH: "" };
  const site = join(prefix, "lib", "python3.12", "site-packages");
  const flagsOf = () => compileFlags(locateLibtorch(env).libtorch!);
  write(join(site, "nvidia", "nccl", "include", "nccl.h"));
  write(join(site, "nvidia", "cu13", "include", "cuda_runtime_api.h"));
  assert.ok(locateLibtorch(env).libtorch?.includeDirs.includes(join(site, "nvidia", "nccl", "include")));
  assert.ok(flagsOf().includes("-DTORCHFORGE_CUDA"));

  const sources = join(folder, "native");
  write(join(sources, "core.cc"), "// core");
  write(join(sources, "comm", "nccl.cc"), "// nccl");
  assert.deepEqual(
    readSources(sources, true).units.map(({ name }) => name),
    ["comm/nccl.cc", "core.cc"],
  );
  assert.deepEqual(
    readSources(sources, false).units.map(({ name }) => name),
    ["core.cc"],
  );

  rmSync(join(site, "nvidia", "nccl"), { recursive: true });
  assert.equal(flagsOf().includes("-DTORCHFORGE_CUDA"), existsSync("/usr/local/cuda/include/nccl.h"));
});

test("a source that another includes is compiled with it, and a change of it is one of the other", () => {
  const sources = join(folder, "grouped");
  write(join(sources, "comm", "work.cc"), "// work");
  write(join(sources, "comm", "work.h"), "// header");
  write(join(sources, "core", "single.cc"), "// single");
  write(join(sources, "units", "comm.cc"), '#include "../comm/work.cc"\n');
  const before = readSources(sources, false).units;
  assert.deepEqual(
    before.map(({ name, bytes }) => [name, bytes]),
    [
      ["core/single.cc", 9],
      ["units/comm.cc", 34],
    ],
  );
  write(join(sources, "comm", "work.cc"), '#include "work.h"');
  const after = readSources(sources, false).units;
  assert.equal(after[0]!.hash, before[0]!.hash);
  assert.notEqual(after[1]!.hash, before[1]!.hash);
  write(join(sources, "comm", "work.h"), "// changed");
  assert.notEqual(readSources(sources, false).units[1]!.hash, after[1]!.hash);
});

test("compareVersions goes by numbers and ignores local and pre-release parts", () => {
  assert.ok(compareVersions("2.9.0", "2.13.0+cpu") < 0);
  assert.ok(compareVersions("2.13.0a0+git123", "2.9") > 0);
  assert.equal(compareVersions("2.9", "2.9.0+cu130"), 0);
});

function readLines(file: string): number {
  return readFileSync(file, "utf8").trim().split("\n").length;
}
