// The addon in worker_threads: each thread has tensors of its own; threads begin and end freely.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";

import * as torch from "../../src/torch/index.ts";

interface Answer {
  sum: number;
  length: number;
  live: number;
  message: string;
}

test(
  "a worker computes on its own; a tensor of another thread is refused clearly",
  { timeout: 120_000 },
  async () => {
    const mine = torch.ones([2]);
    const worker = new Worker(join(import.meta.dirname, "workers", "worker.ts"), {
      workerData: { seed: 1, foreign: { handle: mine.handle } },
    });
    const exited = once(worker, "exit");
    const [answer] = (await once(worker, "message")) as [Answer];
    const [code] = (await exited) as [number];
    assert.equal(code, 0);
    assert.equal(answer.length, 4096);
    assert.match(
      answer.message,
      /add: argument 'self': expected a Tensor, found a Tensor of another thread \(tensors stay on the thread that made them/,
    );
    assert.deepEqual(mine.tolist(), [1, 1]);
    mine.dispose();
  },
);

test("many workers begin and end, some killed at work: no crash, no leak", { timeout: 300_000 }, async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(import.meta.dirname, "workers", "many.ts")],
    {
      env: { ...process.env, OMP_NUM_THREADS: "1", NODE_TEST_CONTEXT: "" },
      timeout: 280_000,
    },
  );
  const { answers, rss, currentBytes } = JSON.parse(stdout.trim().split("\n").at(-1)!) as {
    answers: Answer[];
    rss: number[];
    currentBytes: number;
  };
  assert.equal(answers.length, 24);
  assert.equal(new Set(answers.map((one) => one.sum)).size, 1);
  assert(currentBytes < 2 ** 20, `tensors of ended workers hold ${currentBytes} bytes`);
  const growth = rss.at(-1)! - rss[3]!;
  assert(growth < 64 * 2 ** 20, `resident memory grew by ${growth} bytes over eight rounds`);
});
