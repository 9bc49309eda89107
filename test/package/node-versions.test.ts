// The package under each Node that it promises: the addon loads, from the main thread and from a worker, and works.
// The binaries are those of the npm packages node-<platform>-<arch>; they are kept in the cache.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, before, describe, test } from "node:test";

import { cacheDir } from "../../src/util/index.ts";
import { root, run } from "../programs.ts";

const timeout = 300_000;

/** Path of a Node of this major version. */
function nodeOf(major: number): string {
  if (major === Number(process.versions.node.split(".")[0])) return process.execPath;
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(cacheDir(), "nodes", String(major));
  const binary = join(folder, "node_modules", name, "bin", "node");
  if (!existsSync(binary)) {
    const beside = `${folder}.${process.pid}`;
    mkdirSync(beside, { recursive: true });
    const flags = ["--no-save", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--force"];
    run("npm", ["install", ...flags, "--prefix", beside, `${name}@${major}`], {
      cwd: beside,
      timeoutMs: timeout,
    });
    rmSync(folder, { recursive: true, force: true });
    renameSync(beside, folder);
  }
  return binary;
}

describe("Node versions", () => {
  let folder: string;
  before(
    () => {
      folder = mkdtempSync(join(tmpdir(), "torchforge-nodes-"));
      run(process.execPath, [join(root, "scripts", "build.ts")]);
    },
    { timeout },
  );
  after(() => rmSync(folder, { recursive: true }));

  const torch = pathToFileURL(join(root, "dist", "torch", "index.js")).href;
  const program = `
    import { Worker, isMainThread, parentPort } from "node:worker_threads";
    const torch = await import(${JSON.stringify(torch)});
    const x = torch.ones([2, 2]).requiresGrad_();
    torch.matmul(x, x).sum().backward();
    const gradient = x.grad.tolist();
    if (isMainThread) {
      const worker = new Worker(new URL(import.meta.url));
      const inWorker = await new Promise((done, fail) => worker.once("message", done).once("error", fail));
      await worker.terminate();
      console.log(JSON.stringify({ node: process.versions.node, inMain: gradient, inWorker }));
    } else {
      parentPort.postMessage(gradient);
    }
  `;

  test("Node 20: one line says what is needed, whatever is imported", { timeout }, () => {
    const exported = Object.entries(
      (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { exports: Record<string, unknown> })
        .exports,
    ).flatMap(([, one]) => (typeof one === "object" ? [(one as { default: string }).default] : []));
    for (const file of exported) {
      const program = `import ${JSON.stringify(pathToFileURL(join(root, file)).href)};`;
      const { status, stderr } = spawnSync(nodeOf(20), ["--input-type=module", "-e", program], {
        encoding: "utf8",
      });
      assert.notEqual(status, 0, file);
      assert.match(stderr, /^\[?torchforge needs Node 22\.3 or later, found 20\.\d+\.\d+\.\]?$/m, file);
      assert.doesNotMatch(stderr, /\n {4}at .*dist/, file);
    }
  });

  test("Node 22 on the repository's sources: one line says which is needed", { timeout }, () => {
    const importing = (...path: string[]): string[] => [
      "--input-type=module",
      "--eval",
      `import ${JSON.stringify(pathToFileURL(join(root, "src", ...path)).href)};`,
    ];
    const main = join(root, "src", "cli", "main.ts");
    for (const args of [
      [main, "config", "explain", "training.steps"],
      [main, "--help"],
      importing("index.ts"),
      importing("config", "index.ts"),
      importing("actors", "index.ts"),
      importing("data", "index.ts"),
      importing("notebook", "index.ts"),
    ]) {
      const { status, stderr } = spawnSync(nodeOf(22), args, { encoding: "utf8" });
      assert.notEqual(status, 0);
      assert.match(
        stderr,
        /^\[?torchforge needs Node 24\.0 or later in its repository, where node_modules\/\.bin\/node is one, found 22\.\d+\.\d+\.\]?$/m,
      );
      assert.doesNotMatch(stderr, /SyntaxError/);
    }
  });

  for (const major of [22, 24, 26]) {
    test(`Node ${major}`, { timeout }, () => {
      const file = join(folder, "program.mjs");
      writeFileSync(file, program);
      const said = JSON.parse(run(nodeOf(major), [file])) as {
        node: string;
        inMain: number[][];
        inWorker: number[][];
      };
      assert.equal(Number(said.node.split(".")[0]), major);
      const expected = [
        [4, 4],
        [4, 4],
      ];
      assert.deepEqual(said.inMain, expected);
      assert.deepEqual(said.inWorker, expected);
    });
  }
});
