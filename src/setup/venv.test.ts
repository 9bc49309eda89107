// The failures of installing torch, with a python3 that is a script. The success is tested by `npm test` on a machine
// without torch: it begins with `forge setup`.
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { privateVenvDir } from "./locate.ts";
import { ensurePackageVenv } from "./package-venv.ts";
import { ensureVenv } from "./venv.ts";

let folder: string;
let savedCache: string | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "torchforge-venv-"));
  savedCache = process.env["TORCHFORGE_CACHE"];
  process.env["TORCHFORGE_CACHE"] = join(folder, "cache");
});

afterEach(() => {
  if (savedCache === undefined) delete process.env["TORCHFORGE_CACHE"];
  else process.env["TORCHFORGE_CACHE"] = savedCache;
  rmSync(folder, { recursive: true });
});

/** A `python3` whose `-m venv DIR` makes a bin/python that runs `pip` (shell text) in place of pip. */
function python(options: { venv?: string; pip?: string }): NodeJS.ProcessEnv {
  const bin = join(folder, "bin");
  mkdirSync(bin);
  const pip = `#!/bin/sh\\nHERE=$(dirname "$0")/..\\n${options.pip ?? "exit 0"}\\n`;
  const makeVenv = `mkdir -p "$3/bin" && printf '%b' '${pip}' > "$3/bin/python" && chmod +x "$3/bin/python" && echo "#!$3/bin/python" > "$3/bin/torchrun"`;
  writeFileSync(join(bin, "python3"), `#!/bin/sh\n${options.venv ?? makeVenv}\n`, { mode: 0o755 });
  return { PATH: `${bin}:/usr/bin:/bin` };
}

const timeout = 20_000;

test("no python3", { timeout }, async () => {
  await assert.rejects(ensureVenv({ env: { PATH: folder } }), {
    name: "UserError",
    message:
      /there is no python3 on PATH\. Install Python 3\.10 or later.*apt-get install python3 python3-venv/,
  });
});

test("Python without its venv module", { timeout }, async () => {
  const env = python({
    venv: 'echo "The virtual environment was not created: ensurepip is not available"; exit 1',
  });
  await assert.rejects(ensureVenv({ env }), /can't make virtual environments.*apt-get install python3-venv/);
  assert.deepEqual(readdirSync(join(folder, "cache")), []);
});

test(
  "pip finds no torch, fills the disk, or fails: said apart, and nothing half-made stays",
  { timeout },
  async () => {
    const cases: [string, RegExp][] = [
      [
        "echo ERROR: No matching distribution found for torch; exit 1",
        /pip found no torch 2\.13\.0 for this Python.*\n {2}ERROR: No matching/,
      ],
      ["echo OSError: No space left on device; exit 1", /ran out of disk.*TORCHFORGE_CACHE.*TMPDIR/],
      [
        "echo Connection refused; exit 1",
        /pip could not install torch 2\.13\.0:\n {2}Connection refused\nCheck the network/,
      ],
    ];
    for (const [pip, message] of cases) {
      const env = python({ pip });
      await assert.rejects(ensureVenv({ env }), message);
      assert.deepEqual(readdirSync(join(folder, "cache")), []);
      rmSync(join(folder, "bin"), { recursive: true });
    }
  },
);

test(
  "a complete venv appears at once, its scripts point at it, and --index-url reaches pip",
  { timeout },
  async () => {
    const site = "$HERE/lib/python3.12/site-packages/torch";
    const env = python({
      pip: `echo "$@" > "$HERE/arguments"; mkdir -p "${site}"; echo > "${site}/version.py"`,
    });
    const progress: string[] = [];
    const venv = await ensureVenv({
      env,
      indexUrl: "https://index.example/simple",
      onProgress: (l) => progress.push(l),
    });
    assert.equal(venv, privateVenvDir());
    assert.deepEqual(progress.slice(0, 2), [
      "creating a private Python environment",
      "installing torch 2.13.0 0 s",
    ]);
    assert.match(
      readFileSync(join(venv, "arguments"), "utf8"),
      /^-m pip install .*--index-url https:\/\/index\.example\/simple torch==2\.13\.0 numpy$/m,
    );
    assert.equal(readFileSync(join(venv, "bin", "torchrun"), "utf8"), `#!${venv}/bin/python\n`);
    assert.deepEqual(readdirSync(join(folder, "cache")), [venv.split("/").at(-1)]);
    assert.ok(existsSync(join(venv, "bin", "python")));

    await ensureVenv({ env: { PATH: "" } }); // it is there: no Python is needed
  },
);

test("scripts of a package's venv name the place where it stays", { timeout }, async () => {
  const venv = await ensurePackageVenv(
    { name: "jupyterlab", version: "4.0.0", label: "JupyterLab", withoutPython: ".", advice: "." },
    { env: python({}) },
  );
  assert.equal(readFileSync(join(venv, "bin", "torchrun"), "utf8"), `#!${venv}/bin/python\n`);
});
