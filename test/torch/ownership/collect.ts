// A child of ownership.test.ts (--expose-gc): tensors outside any scope, left to the garbage collector.
import { setImmediate as turn } from "node:timers/promises";

import * as torch from "../../../src/torch/index.ts";

torch.setNumThreads(1);

// Finalizers run: what is unreachable is released after a collection.
const before = torch.memoryStats().liveTensors;
(() => {
  for (let i = 0; i < 1000; i++) torch.ones([10]);
})();
const made = torch.memoryStats().liveTensors - before;
for (let i = 0; i < 5; i++) {
  globalThis.gc!();
  await turn();
}
const afterCollection = torch.memoryStats().liveTensors - before;

// V8 is told of the memory: an asynchronous loop stays bounded though nobody asks for a collection. 4 GB in all.
torch.resetPeakMemory();
for (let i = 0; i < 1000; i++) {
  torch.ones([1000, 1000]);
  await turn();
}
const { peakBytes } = torch.memoryStats();
console.log(JSON.stringify({ made, afterCollection, peakMb: peakBytes / 2 ** 20 }));
