// Process groups on NCCL, as far as one GPU goes: a world of one rank, every collective with its tensors on the device, and
// sharding through it beside one process that has no group. Run by `npm run test:cuda`.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";

import * as comm from "../../src/comm/index.ts";
import { blockSpecs } from "../../src/models/index.ts";
import { Fsdp, Ranks, Replicate, Single, type Strategy } from "../../src/parallel/index.ts";
import * as torch from "../../src/torch/index.ts";
import { makeLearner } from "../parallel/ranks/learner.ts";
import { batchesOfStep, tinyConfig } from "../parallel/tiny.ts";

const device = "cuda:0";
let group: comm.ProcessGroup;

before(async () => {
  const store = await comm.Store.open({ host: "127.0.0.1", port: 0, isMaster: true, timeoutSeconds: 60 });
  group = await comm.initProcessGroup({ backend: "nccl", store, rank: 0, worldSize: 1, deviceIndex: 0 });
});
after(() => comm.destroyProcessGroup());

void test("collectives on the device", async () => {
  using _ = torch.scope();
  const made = () => torch.arange(4, { device, dtype: torch.float32 });
  const own = [0, 1, 2, 3];
  assert.deepEqual(comm.allReduce(made(), { group }).tolist(), own);
  assert.deepEqual(comm.broadcast(made(), { group, src: 0 }).tolist(), own);
  const into = torch.zeros([4], { device });
  comm.allGatherIntoTensor(into, made(), { group });
  assert.deepEqual(into.tolist(), own);
  const part = torch.zeros([4], { device });
  comm.reduceScatterTensor(part, made(), { group });
  assert.deepEqual(part.tolist(), own);
  const swapped = torch.zeros([4], { device });
  comm.allToAllSingle(swapped, made(), { group });
  assert.deepEqual(swapped.tolist(), own);
  const work = comm.allReduce(made(), { group, async: true });
  await work;
  comm.barrier({ group });
  const x = made().requiresGrad_();
  comm.differentiable.allGather(x, { group }).mul(3).sum().backward();
  assert.deepEqual(x.grad!.tolist(), [3, 3, 3, 3]);
  // Tensors of the CPU go through Gloo in the same group.
  assert.deepEqual(comm.allReduce(torch.ones([2]), { group }).tolist(), [1, 1]);
});

void test("shards and replicas over NCCL train as one process does", () => {
  using _ = torch.scope();
  const config = tinyConfig(true);
  const specs = blockSpecs(config);
  const options = { dtype: torch.float64, device };
  const trained = (strategy: Strategy): number[] => {
    const learner = makeLearner({
      config,
      strategy,
      ranks: Ranks.one,
      step: { checkpointing: "full" },
      device,
    });
    return [0, 1, 2].map((step) => {
      const batches = batchesOfStep(step, 2, true);
      const gradients = learner.update.gradients(
        batches,
        batches.reduce((sum, batch) => sum + batch.trainedTokens, 0),
      );
      learner.update.apply(gradients, { lr: 1e-2, maxNorm: 0.5 });
      return gradients.loss;
    });
  };
  const expected = trained(new Single(specs, options));
  const found = {
    fsdp: trained(new Fsdp(specs, group, options)),
    replicate: trained(new Replicate(specs, group, options)),
  };
  for (const [name, losses] of Object.entries(found)) {
    for (const [i, loss] of losses.entries())
      assert.ok(Math.abs(loss - expected[i]!) < 1e-9, `${name}: step ${i}: ${loss}, expected ${expected[i]}`);
  }
});
