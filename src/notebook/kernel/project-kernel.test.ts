import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { kernelProgram } from "./programs.ts";
import { noteInstalled, projectKernel } from "./project-kernel.ts";

let project: string;
let savedCache: string | undefined;

beforeEach(() => {
  project = realpathSync(mkdtempSync(join(tmpdir(), "torchforge-project-")));
  savedCache = process.env["TORCHFORGE_CACHE"];
  process.env["TORCHFORGE_CACHE"] = join(project, "cache");
});

afterEach(() => {
  if (savedCache === undefined) delete process.env["TORCHFORGE_CACHE"];
  else process.env["TORCHFORGE_CACHE"] = savedCache;
  rmSync(project, { recursive: true });
});

test("a kernel hands over to the torchforge that the user has installed in the notebook's project", () => {
  const notebooks = join(project, "notebooks");
  const folder = join(project, "node_modules", "torchforge", "dist", "notebook", "kernel");
  const program = join(folder, "main.js");
  mkdirSync(notebooks);
  assert.equal(projectKernel(notebooks), undefined);
  mkdirSync(folder, { recursive: true });
  writeFileSync(program, 'console.log("the project\'s kernel", process.argv[2])');
  noteInstalled();
  // Code that lies in the folder doesn't run: the user has not installed it.
  assert.equal(projectKernel(notebooks), undefined);
  appendFileSync(join(project, "cache", "notebook-kernels"), `${program}\n`);
  assert.equal(projectKernel(notebooks), program);
  const { stdout, stderr } = spawnSync(process.execPath, [kernelProgram, "connection.json"], {
    cwd: notebooks,
    encoding: "utf8",
  });
  assert.equal(stdout, "the project's kernel connection.json\n", stderr);
});

test("not to itself, also where it is installed by a link; a kernel that is gone is forgotten", () => {
  const folder = join(project, "node_modules", "torchforge", "dist", "notebook", "kernel");
  mkdirSync(folder, { recursive: true });
  symlinkSync(resolve(kernelProgram), join(folder, "main.js"));
  noteInstalled();
  assert.equal(projectKernel(project), undefined);
  const file = join(project, "cache", "notebook-kernels");
  appendFileSync(file, `${join(project, "gone", "main.js")}\n`);
  noteInstalled();
  assert.equal(readFileSync(file, "utf8"), `${realpathSync(kernelProgram)}\n`);
});
