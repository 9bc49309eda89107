// Intra-op threads: the default, and settings before and after the first operation, each in a fresh process.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import test from "node:test";

import * as torch from "../../src/torch/index.ts";

const index = join(import.meta.dirname, "..", "..", "src", "torch", "index.ts");

function child(code: string, env: Record<string, string>): unknown {
  const { OMP_NUM_THREADS: _, LOCAL_WORLD_SIZE: __, ...rest } = process.env;
  const out = execFileSync(
    process.execPath,
    ["--input-type=module", "-e", `import * as torch from ${JSON.stringify(`file://${index}`)}; ${code}`],
    { env: { ...rest, ...env, NODE_TEST_CONTEXT: "" }, encoding: "utf8", timeout: 60_000 },
  );
  return JSON.parse(out) as unknown;
}

const show = "console.log(JSON.stringify([torch.getNumThreads(), torch.info().threads]))";

test(
  "the default is OMP_NUM_THREADS, else the physical cores by the ranks of this machine",
  { timeout: 120_000 },
  () => {
    assert.deepEqual(child(show, { OMP_NUM_THREADS: "3" }), [3, 3]);
    const cores = torch.physicalCores();
    assert.deepEqual(child(show, {}), [cores, cores]);
    assert.deepEqual(child(show, { LOCAL_WORLD_SIZE: "1000" }), [1, 1]);
  },
);

test("setNumThreads works before the first operation and after it", { timeout: 120_000 }, () => {
  assert.deepEqual(child(`torch.setNumThreads(2); torch.ones([2]); ${show}`, {}), [2, 2]);
  assert.deepEqual(
    child(`torch.ones([2]); torch.setNumThreads(2); torch.setNumThreads(3); ${show}`, {}),
    [3, 3],
  );
});

test("what isn't a number of threads is refused", () => {
  assert.throws(
    () => torch.setNumThreads(0),
    /setNumThreads: expected a whole number from 1 to 4096, found 0/,
  );
  assert.throws(() => torch.setNumThreads(1e9), /from 1 to 4096, found 1000000000/);
});
