// One contender of bench/allocator.ts, in a process of its own: TORCHFORGE_ALLOCATOR chooses the allocator, an argument
// `unkept` turns keeping off. Reads {"steps": n} lines, answers milliseconds and minor page faults a step.
import { createInterface } from "node:readline";

import * as torch from "../src/torch/index.ts";

torch.setNumThreads(1);
if (process.argv[2] === "unkept") torch.setCacheLimit(0);

// Activations of 1.5 to 6 MB, as those of a small language model at a thousand tokens.
const tokens = 1024;
const width = 384;
const parameters = [
  torch
    .randn([width * 4, width])
    .mul(0.02)
    .requiresGrad_(),
  torch
    .randn([width, width * 4])
    .mul(0.02)
    .requiresGrad_(),
  torch.ones([width]).requiresGrad_(),
] as const;

function step(): void {
  using _ = torch.scope();
  const [up, down, norm] = parameters;
  let x = torch.randn([tokens, width]);
  for (let layer = 0; layer < 4; layer++) {
    const hidden = torch.silu(torch.linear(torch.rmsNorm(x, [width], norm, 1e-5), up));
    x = x.add(torch.linear(hidden, down));
  }
  torch.grad(x.square().mean(), parameters);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { steps } = JSON.parse(line) as { steps: number };
  const faults = process.resourceUsage().minorPageFault;
  const start = performance.now();
  for (let i = 0; i < steps; i++) step();
  const ms = (performance.now() - start) / steps;
  const { minorPageFault, maxRSS } = process.resourceUsage();
  console.log(JSON.stringify({ ms, faults: (minorPageFault - faults) / steps, peakRssMb: maxRSS / 1024 }));
}
