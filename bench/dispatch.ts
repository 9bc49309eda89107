// The cost of small operators here and in Python's torch of the same version: rounds in alternation, one thread each.
// Our time includes the end of the scope that the memory rule prescribes; the same without a scope (tensors left to the
// garbage collector) is reported beside it.
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";

import * as torch from "../src/torch/index.ts";
import { alternate, median, medianRatio, Peer, pythonWithTorch, quick, report } from "./harness.ts";

torch.setNumThreads(1);

const one = torch.ones([1]);
const other = torch.ones([1]);
const left = torch.ones([1], { requiresGrad: true });
const right = torch.ones([1], { requiresGrad: true });
const x = torch.randn([1, 8]);
const weight = torch.randn([8, 8], { requiresGrad: true });
const bias = torch.randn([8], { requiresGrad: true });
const matrix = torch.randn([4, 6]);

const cases = {
  add: () => torch.add(one, other),
  add_autograd: () => torch.add(left, right),
  linear_backward: () => torch.grad(torch.linear(x, weight, bias).sum(), [weight, bias]),
  linear_backward_accumulate: () => {
    torch.linear(x, weight, bias).sum().backward();
    weight.grad = undefined;
    bias.grad = undefined;
  },
  views: () => matrix.view([6, 4]).transpose(0, 1).view([2, 2, 6]).transpose(1, 2),
};
type Case = keyof typeof cases;

const scopeSize = 100; // operators a scope: a small training step's order of magnitude

/** Nanoseconds a call, with a scope around every hundred. */
function scoped(body: () => unknown, calls: number): number {
  const start = process.hrtime.bigint();
  for (let done = 0; done < calls; done += scopeSize) {
    using _ = torch.scope();
    for (let i = 0; i < scopeSize; i++) body();
  }
  return Number(process.hrtime.bigint() - start) / calls;
}

/** The same without scopes. The event loop turns every hundred calls, so that finalizers run within the time. */
async function unscoped(body: () => unknown, calls: number): Promise<number> {
  const start = process.hrtime.bigint();
  for (let done = 0; done < calls; done += scopeSize) {
    for (let i = 0; i < scopeSize; i++) body();
    await turn();
  }
  return Number(process.hrtime.bigint() - start) / calls;
}

const calls: Record<Case, number> = {
  add: 20_000,
  add_autograd: 20_000,
  linear_backward: 2_000,
  linear_backward_accumulate: 2_000,
  views: 8_000,
};
const rounds = quick ? 5 : 21;

using python = new Peer(pythonWithTorch(), [join(import.meta.dirname, "dispatch.py")], {
  OMP_NUM_THREADS: "1",
  MKL_NUM_THREADS: "1",
});

const figures: Record<string, number> = {};
const bars = [];
for (const name of Object.keys(cases) as Case[]) {
  const body = cases[name];
  const times = await alternate(
    rounds,
    {
      ours: () => scoped(body, calls[name]),
      python: async () => Number(await python.ask({ case: name, calls: calls[name] })),
      unscoped: () => unscoped(body, calls[name]),
    },
    2,
  );
  figures[`${name}_ns`] = median(times.ours);
  figures[`${name}_python_ns`] = median(times.python);
  figures[`${name}_unscoped_ns`] = median(times.unscoped);
  figures[`${name}_unscoped_ratio`] = medianRatio(times.unscoped, times.python);
  bars.push({
    name: `${name}: time to Python's`,
    value: medianRatio(times.ours, times.python),
    op: "<=" as const,
    limit: 1,
  });
}
report("dispatch", figures, bars, { threads: 1 });
