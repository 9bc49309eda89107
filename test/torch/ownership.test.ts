// The memory rule over many steps, each in a child process, so that resident memory is that of the steps alone.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import test from "node:test";
import { promisify } from "node:util";

async function child(name: string, ...options: string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...options, join(import.meta.dirname, "ownership", name)],
    { env: { ...process.env, OMP_NUM_THREADS: "1", NODE_TEST_CONTEXT: "" }, timeout: 240_000 },
  );
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as unknown;
}

test(
  "1,000 training steps in scopes: as many live tensors as before, flat memory",
  { timeout: 250_000 },
  async () => {
    const { points, before, first, last } = (await child("train.ts")) as {
      points: { step: number; live: number; current: number; rss: number }[];
      before: number;
      first: number;
      last: number;
    };
    assert(last < first / 2, `it trains: ${first} to ${last}`);
    assert.deepEqual(
      points.map((point) => point.live),
      points.map(() => before),
    );
    assert.deepEqual(
      points.map((point) => point.current),
      points.map(() => points[0]!.current),
    );
    // A leak of one gradient a step would be 64 kB x 800.
    const growth = points.at(-1)!.rss - points[1]!.rss;
    assert(growth < 16 * 2 ** 20, `resident memory grew by ${growth} bytes from step 200 to 1,000`);
  },
);

test("without scopes finalizers release tensors, and V8 collects in time", { timeout: 250_000 }, async () => {
  const { made, afterCollection, peakMb } = (await child("collect.ts", "--expose-gc")) as {
    made: number;
    afterCollection: number;
    peakMb: number;
  };
  assert.equal(made, 1000);
  assert(afterCollection <= 5, `${afterCollection} tensors were left`);
  assert(peakMb < 1024, `${peakMb} MB of 4,000 were held at once`);
});
