// A child of ownership.test.ts: 1,000 training steps in scopes; prints live tensors and resident memory along the way.
import * as torch from "../../../src/torch/index.ts";

torch.setNumThreads(1);
torch.manualSeed(0);
const first = torch.randn([256, 64]).mul(0.1).requiresGrad_();
const second = torch.randn([1, 256]).mul(0.1).requiresGrad_();
const parameters = [first, second];

function step(): number {
  using _ = torch.scope();
  const x = torch.randn([128, 64]);
  const loss = torch.mseLoss(
    torch.linear(torch.silu(torch.linear(x, first)), second),
    x.sum(1, { keepdim: true }),
  );
  const gradients = torch.grad(loss, parameters);
  torch.noGrad(() => {
    for (const [i, parameter] of parameters.entries()) parameter.sub_(gradients[i]!, { alpha: 0.001 });
  });
  return loss.item();
}

const before = torch.memoryStats().liveTensors;
const points: { step: number; live: number; current: number; rss: number }[] = [];
const losses: number[] = [];
for (let i = 1; i <= 1000; i++) {
  losses.push(step());
  if (i % 100 === 0) {
    const { liveTensors, currentBytes } = torch.memoryStats();
    points.push({ step: i, live: liveTensors, current: currentBytes, rss: process.memoryUsage.rss() });
  }
}
console.log(JSON.stringify({ points, before, first: losses[0], last: losses.at(-1) }));
