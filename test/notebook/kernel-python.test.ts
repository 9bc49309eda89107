// The kernel as Jupyter's own Python programs see it: jupyter_kernel_test, the conformance test of kernels, and nbclient, which
// runs notebooks without a browser.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { installKernelSpec } from "../../src/notebook/index.ts";
import { environment, root, run } from "../programs.ts";
import { jupyterPython } from "./jupyter.ts";

const timeout = 600_000;
test("jupyter_kernel_test and nbclient are content", { timeout }, async () => {
  const python = await jupyterPython();
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
