// A worker of workers.test.ts: a little of everything that owns native memory, and an end without cleaning up.
import { parentPort, workerData } from "node:worker_threads";

import * as torch from "../../../src/torch/index.ts";

const { seed, foreign, forever } = workerData as { seed: number; foreign?: unknown; forever?: boolean };

let message = "";
if (foreign !== undefined) {
  try {
    torch.add(foreign as torch.Tensor, 1);
  } catch (error) {
    message = (error as Error).message;
  }
}
// A generator of its own: libtorch's default one is the whole process's, so threads would draw from each other's stream.
const generator = new torch.Generator().manualSeed(seed);
const x = torch.randn([64, 64], { generator, requiresGrad: true });
const shared = torch.fromTypedArray(new Float32Array(4096).fill(1), [64, 64], { copy: false });
const loss = x.matmul(shared).square().mean();
loss.backward();
const array = x.grad!.toTypedArray();
torch.scope(); // never ended
torch.ones([1000]);
const answer = {
  sum: x.grad!.sum().item(),
  length: array.length,
  live: torch.memoryStats().liveTensors,
  message,
};
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort!.postMessage(answer);
if (forever)
  for (;;)
    torch
      .ones([100, 100])
      .matmul(torch.ones([100, 100]))
      .dispose();
