// `forge notebook` as a program: the kernel's installation, the user's copy, a Jupyter that ends with it. JupyterLab itself is
// played by a script here, which tells what it was given.
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, suite, test } from "node:test";

import { cacheDir, isProcessAlive } from "../../src/util/index.ts";
import { vsCodeDataDir } from "../../src/notebook/index.ts";
import { environment, root } from "../programs.ts";
import { spawn } from "node:child_process";
import { once } from "node:events";

const main = join(root, "src", "cli", "main.ts");

void suite("forge notebook", { timeout: 300_000 }, () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "torchforge-notebook-"));
    mkdirSync(join(folder, "bin"));
    const script = [
      "#!/bin/sh",
      '[ "$1" = --version ] && exit 0',
      `echo "$@" > ${join(folder, "arguments")}`,
      `echo $$ > ${join(folder, "pid")}`,
      `trap 'echo ended > ${join(folder, "ended")}; exit 0' TERM`,
      'echo "[I ServerApp] http://127.0.0.1:8899/lab?token=..." >&2',
      "while :; do sleep 0.1; done",
    ];
    writeFileSync(join(folder, "bin", "jupyter-lab"), script.join("\n"));
    chmodSync(join(folder, "bin", "jupyter-lab"), 0o755);
  });
  after(() => rmSync(folder, { recursive: true }));

  const start = (args: string[]) => {
    const child = spawn(process.execPath, [main, "notebook", ...args], {
      env: {
        ...environment,
        JUPYTER_DATA_DIR: join(folder, "data"),
        HOME: join(folder, "home"),
        TORCHFORGE_CACHE: cacheDir(),
        PATH: `${join(folder, "bin")}${delimiter}${environment["PATH"]}`,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let text = "";
    let check = (): void => {};
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (more: string) => {
        text += more;
        check();
      });
    }
    return {
      child,
      text: () => text,
      ended: once(child, "close") as Promise<[number | null]>,
      shows: (wanted: RegExp) =>
        new Promise<void>((done) => {
          check = () => wanted.test(text) && done();
          check();
        }),
    };
  };

  void test("--kernel-only installs the kernel, and nothing else", async () => {
    const run = start(["--kernel-only"]);
    const [code] = await run.ended;
    assert.equal(code, 0, run.text());
    const place = join("kernels", "torchforge", "kernel.json");
    const text = readFileSync(join(folder, "data", place), "utf8");
    assert.equal(readFileSync(join(vsCodeDataDir({ HOME: join(folder, "home") }), place), "utf8"), text);
    const spec = JSON.parse(text) as Record<string, unknown>;
    assert.equal(spec["display_name"], "TypeScript (torchforge)");
    assert.equal(spec["interrupt_mode"], "message");
    const argv = spec["argv"] as string[];
    assert.equal(argv.at(-1), "{connection_file}");
    assert.ok(existsSync(argv[0]!) && existsSync(argv[1]!));
  });

  void test("copies the notebook once, prints the address with its token, ends Jupyter on Ctrl-C", async () => {
    const work = join(folder, "work");
    const run = start([work, "--no-browser", "--port", "8899"]);
    await run.shows(/\?token=[0-9a-f]{48}\n/);
    assert.match(
      run.text(),
      /http:\/\/127\.0\.0\.1:8899\/lab\/tree\/interactive_config_notebook\.ipynb\?token=/,
    );
    const given = readFileSync(join(folder, "arguments"), "utf8");
    assert.match(given, /--ServerApp\.ip=127\.0\.0\.1 --ServerApp\.port=8899 .*--no-browser/);
    assert.doesNotMatch(given, /token/, "a token on the command line can be read by everyone on the machine");
    const notebook = join(work, "interactive_config_notebook.ipynb");
    assert.equal((JSON.parse(readFileSync(notebook, "utf8")) as { nbformat: number }).nbformat, 4);
    run.child.kill("SIGINT");
    const [code] = await run.ended;
    assert.equal(code, 0, run.text());
    assert.equal(readFileSync(join(folder, "ended"), "utf8"), "ended\n");
    assert.equal(isProcessAlive(Number(readFileSync(join(folder, "pid"), "utf8"))), false);

    writeFileSync(notebook, "mine");
    const again = start([work, "--no-browser"]);
    await again.shows(/token=/);
    again.child.kill("SIGTERM");
    await again.ended;
    assert.match(again.text(), /interactive_config_notebook\.ipynb \(was there\)/);
    assert.equal(readFileSync(notebook, "utf8"), "mine");
  });

  void test("a Jupyter that fails is told with its last lines", async () => {
    writeFileSync(
      join(folder, "bin", "jupyter-lab"),
      '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "no such module" >&2\nexit 3\n',
    );
    const run = start([join(folder, "work"), "--no-browser"]);
    const [code] = await run.ended;
    assert.equal(code, 1);
    assert.match(run.text(), /error: JupyterLab ended with code 3\. Its last lines:\nno such module/);
    const wrong = start(["--port", "x"]);
    assert.equal((await wrong.ended)[0], 2);
    assert.match(wrong.text(), /expected a port, found x/);
  });
});
