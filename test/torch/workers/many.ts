// A child of workers.test.ts: many workers begin and end, some killed in the middle of their work.
import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

import * as torch from "../../../src/torch/index.ts";

torch.setNumThreads(1);
const file = join(import.meta.dirname, "worker.ts");

async function run(seed: number, forever: boolean): Promise<unknown> {
  const worker = new Worker(file, { workerData: { seed, forever } });
  const exited = once(worker, "exit");
  const [answer] = (await once(worker, "message")) as [unknown];
  if (forever) await worker.terminate();
  await exited;
  return answer;
}

const rss: number[] = [];
const answers: unknown[] = [];
for (let round = 0; round < 12; round++) {
  answers.push(...(await Promise.all([run(1, false), run(1, round % 3 === 0)])));
  rss.push(process.memoryUsage.rss());
}
console.log(JSON.stringify({ answers, rss, currentBytes: torch.memoryStats().currentBytes }));
