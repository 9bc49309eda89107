// What a cell prints in other ways than console.log, what it can't read, and a module that was edited.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { KernelClient } from "./kernel-client.ts";

const timeout = 120_000;

describe("a kernel's streams", { timeout }, () => {
  let kernel: KernelClient;
  let folder: string;
  before(
    async () => {
      folder = mkdtempSync(join(tmpdir(), "torchforge-streams-"));
      kernel = await KernelClient.start({ cwd: folder });
    },
    { timeout },
  );
  after(async () => {
    await kernel[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  test("console.trace() says what it was given, and where", async () => {
    const { stderr } = await kernel.execute("function f() { console.trace('here', { a: 1 }); } f();");
    assert.match(stderr, /^Trace: here \{ a: 1 \}\n {4}at f \(cell-\d+\.ts:1:24\)\n/);
  });

  test("what a program prints that a cell starts with inherited output is the cell's", async () => {
    const { stdout, stderr, status, traceback } = await kernel.execute(`
      import { execFileSync, execSync, spawn, spawnSync } from "node:child_process";
      execSync("echo one", { stdio: "inherit" });
      execFileSync("echo", ["two"], { stdio: [0, "inherit", "pipe"] });
      spawnSync("sh", ["-c", "echo three; echo four >&2"], { stdio: "inherit" });
      await new Promise((done) => spawn("echo", ["five"], { stdio: [0, 1, 2] }).on("close", done));
      console.log(execSync("echo piped").toString().trim(), spawnSync("echo", ["too"]).stdout.toString().trim());`);
    assert.equal(status, "ok", traceback);
    assert.equal(stdout, "one\ntwo\nthree\nfive\npiped too\n");
    assert.equal(stderr, "four\n");
  });

  for (const [what, code] of [
    [
      "process.stdin",
      "(await import('node:readline')).createInterface({ input: process.stdin }).question('? ', () => {})",
    ],
    ["process.stdin", "for await (const line of process.stdin) line;"],
    ["prompt()", "prompt('name?')"],
  ] as const)
    test(`a cell that asks for input gets an error: ${code}`, async () => {
      const { status, traceback } = await kernel.execute(code);
      assert.equal(status, "error");
      assert.ok(
        traceback.includes(
          `UserError: ${what}: a cell can't ask for input. Write the answer into the cell (const name = "…"), or read it from a file or process.env.`,
        ),
        traceback,
      );
    });

  test("a module that was edited stays as it was, and the next import says so, once", async () => {
    writeFileSync(join(folder, "inner.ts"), "export const value: number = 1;\n");
    writeFileSync(join(folder, "outer.ts"), 'export { value } from "./inner.ts";\n');
    const use = "import { value } from './outer.ts'; value";
    const first = await kernel.execute(use);
    assert.deepEqual([first.result, first.stderr], ["1", ""]);
    writeFileSync(join(folder, "inner.ts"), "export const value: number = 22;\n");
    const second = await kernel.execute(use);
    assert.equal(second.result, "1");
    assert.equal(
      second.stderr,
      "note: inner.ts has changed since it was imported; this kernel keeps what it had. Restart the kernel (Kernel > Restart) to import it anew.\n",
    );
    assert.equal((await kernel.execute(use)).stderr, "");
  });
});
