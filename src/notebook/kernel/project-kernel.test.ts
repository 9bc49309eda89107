import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";

import { kernelProgram } from "./programs.ts";
import { projectKernel } from "./project-kernel.ts";

test("a kernel hands over to the torchforge that the notebook's project has installed", () => {
  const project = mkdtempSync(join(tmpdir(), "torchforge-project-"));
  try {
    const notebooks = join(project, "notebooks");
    const installed = join(project, "node_modules", "torchforge", "dist", "notebook", "kernel");
    mkdirSync(notebooks);
    assert.equal(projectKernel(notebooks), undefined);
    mkdirSync(installed, { recursive: true });
    writeFileSync(join(installed, "main.js"), 'console.log("the project\'s kernel", process.argv[2])');
    assert.equal(projectKernel(notebooks), join(installed, "main.js"));
    const { stdout, stderr } = spawnSync(process.execPath, [kernelProgram, "connection.json"], {
      cwd: notebooks,
      encoding: "utf8",
    });
    assert.equal(stdout, "the project's kernel connection.json\n", stderr);
  } finally {
    rmSync(project, { recursive: true });
  }
});

test("not to itself, also where it is installed by a link", () => {
  const project = mkdtempSync(join(tmpdir(), "torchforge-project-"));
  try {
    const kernelFolder = join(project, "node_modules", "torchforge", "dist", "notebook", "kernel");
    mkdirSync(kernelFolder, { recursive: true });
    symlinkSync(resolve(kernelProgram), join(kernelFolder, "main.js"));
    assert.equal(projectKernel(project), undefined);
  } finally {
    rmSync(project, { recursive: true });
  }
});
