import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { installKernelSpec, jupyterDataDir, kernelSpec, vsCodeDataDir } from "./kernelspec.ts";

test("where Jupyter looks, and where VS Code looks, on each system", () => {
  const home = { HOME: "/home/ada" };
  assert.equal(jupyterDataDir(home, "linux"), "/home/ada/.local/share/jupyter");
  assert.equal(jupyterDataDir({ ...home, XDG_DATA_HOME: "/data" }, "linux"), "/data/jupyter");
  assert.equal(jupyterDataDir({ ...home, XDG_DATA_HOME: "/data" }, "darwin"), "/home/ada/Library/Jupyter");
  assert.equal(jupyterDataDir({ ...home, XDG_DATA_HOME: "/data", JUPYTER_DATA_DIR: "/j" }, "linux"), "/j");
  assert.equal(jupyterDataDir({ APPDATA: "/roaming" }, "win32"), "/roaming/jupyter");
  const elsewhere = { ...home, XDG_DATA_HOME: "/data", JUPYTER_DATA_DIR: "/j", APPDATA: "/roaming" };
  assert.equal(vsCodeDataDir(elsewhere, "linux"), "/home/ada/.local/share/jupyter");
  assert.equal(vsCodeDataDir(elsewhere, "darwin"), "/home/ada/Library/Jupyter");
  assert.equal(vsCodeDataDir({ USERPROFILE: "/ada" }, "win32"), "/ada/AppData/Roaming/jupyter");
  assert.equal(vsCodeDataDir({}, "linux"), join(homedir(), ".local/share/jupyter"));
});

test("an installed kernel is this package's on this Node; a former one is replaced", () => {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-kernelspec-"));
  try {
    const first = installKernelSpec(folder);
    assert.deepEqual(first, { folder: join(folder, "kernels", "torchforge"), changed: true });
    const written = JSON.parse(readFileSync(join(first.folder, "kernel.json"), "utf8")) as unknown;
    assert.deepEqual(written, kernelSpec());
    assert.equal(kernelSpec().argv[0], process.execPath);
    assert.equal(installKernelSpec(folder).changed, false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
