// The kernel as Jupyter's own Python programs see it: jupyter_kernel_test, the conformance test of kernels, and nbclient, which
// runs notebooks without a browser. They are installed once into the cache.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { installKernelSpec } from "../../src/notebook/index.ts";
import { cacheDir } from "../../src/util/index.ts";
import { environment, root, run } from "../programs.ts";

const timeout = 600_000;
const packages = ["jupyter_kernel_test==0.7.0", "nbclient==0.11.0"];

/** A Python that has the packages. */
function pythonWithPackages(): string {
  const folder = join(cacheDir(), `kernel-test-${packages.map((one) => one.split("==")[1]).join("-")}`);
  const python = join(folder, "bin", "python");
  if (existsSync(python)) return python;
  const beside = `${folder}.${process.pid}`;
  run("python3", ["-m", "venv", beside], { timeoutMs: timeout });
  run(join(beside, "bin", "python"), ["-m", "pip", "install", "--quiet", "--no-compile", ...packages], {
    timeoutMs: timeout,
  });
  rmSync(folder, { recursive: true, force: true });
  renameSync(beside, folder);
  return python;
}

test("jupyter_kernel_test and nbclient are content", { timeout }, () => {
  const python = pythonWithPackages();
  const folder = mkdtempSync(join(tmpdir(), "torchforge-conformance-"));
  try {
    installKernelSpec(join(folder, "data"));
    const env = {
      ...environment,
      JUPYTER_DATA_DIR: join(folder, "data"),
      JUPYTER_CONFIG_DIR: join(folder, "config"),
      JUPYTER_RUNTIME_DIR: join(folder, "runtime"),
    };
    const program = join(root, "test", "notebook", "kernel_conformance.py");
    const said = run("sh", ["-c", '"$0" "$1" 2>&1', python, program], {
      cwd: folder,
      env,
      timeoutMs: timeout,
    });
    assert.match(said, /Ran 14 tests/);
    assert.match(said, /test_nbclient \(.*\) \.\.\. ok/);
    assert.match(said, /OK \(skipped=1\)/, said); // the pager: this kernel has none
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
