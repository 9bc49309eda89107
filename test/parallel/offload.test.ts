// CPU offload in one process, on every device that there is: parameters, gradients and moments in main memory give the same
// numbers as on the device. On a CPU the two are one memory, and what is offloaded is copied all the same. Tolerance: see
// ranks/beside.ts. With several ranks: ranks/table.ts.
import assert from "node:assert/strict";
import { test } from "node:test";

import { blockSpecs, initializeParameters, parameterSpecs } from "../../src/models/index.ts";
import { Fsdp, Ranks, Single } from "../../src/parallel/index.ts";
import { float64, info, noGrad, scope, setNumThreads, synchronize } from "../../src/torch/index.ts";
import { trainAlone } from "./ranks/alone.ts";
import { trainBeside } from "./ranks/beside.ts";
import { makeLearner } from "./ranks/learner.ts";
import { tinyConfig } from "./tiny.ts";

setNumThreads(1);
const { accelerator } = info();
const devices = accelerator === null ? ["cpu"] : ["cpu", accelerator];

for (const device of devices)
  for (const [checkpointing, tied, accumulation, reshardAfterForward] of [
    ["full", true, 1, "default"],
    ["none", false, 3, "default"],
    ["selective", true, 2, "never"],
  ] as const)
    void test(`${device}: offloaded, ${tied ? "tied" : "untied"}, checkpointing ${checkpointing}, ${accumulation} micro-batches, reshard ${reshardAfterForward}`, () => {
      using _ = scope();
      const config = tinyConfig(tied);
      const specs = blockSpecs(config);
      const options = { dtype: float64, device };
      const strategy = new Fsdp(specs, undefined, { ...options, offload: true, reshardAfterForward });
      const single = new Single(specs, options);
      const learner = { config, ranks: Ranks.one, step: { checkpointing }, device };
      const mine = makeLearner({ ...learner, strategy });
      const reference = makeLearner({ ...learner, strategy: single });
      // Devices draw other random numbers than the CPU.
      noGrad(() => {
        for (const [name, parameter] of mine.parameters) single.parameters.get(name)!.copy_(parameter);
      });
      const alone = trainAlone(reference, { count: accumulation, packed: true, byRows: false });
      trainBeside({ mine, strategy, ranks: Ranks.one, alone, accumulation, packed: true });
      for (const [name, parameter] of strategy.parameters) assert.equal(parameter.device.type, "cpu", name);
      for (const [name, whole] of strategy.full) {
        assert.equal(whole.device.type, device, name);
        assert.equal(whole.storage.nbytes, 0, `memory of ${name} between steps`);
      }
    });

void test("what changes in main memory is what comes to the device next", () => {
  using _ = scope();
  const device = devices.at(-1)!;
  const config = tinyConfig(true);
  const strategy = new Fsdp(blockSpecs(config), undefined, { dtype: float64, device, offload: true });
  initializeParameters(strategy.parameters, parameterSpecs(config));
  for (let i = 0; i < 20; i++) {
    strategy.gatherAll();
    const [whole, own] = [strategy.full, strategy.parameters].map((one) =>
      one.get("model.layers.0.mlp.down_proj.weight")!,
    );
    synchronize(device);
    assert.ok(noGrad(() => whole!.cpu().equal(own!)));
    noGrad(() => own!.add_(1));
    strategy.release();
  }
});
