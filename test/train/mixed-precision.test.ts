// Mixed precision through the trainer, on a CPU: `training.mixed_precision_param: bfloat16` computes in bfloat16 and keeps
// weights and moments in float32; without the key a CPU run is float32 throughout.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { Config } from "../../src/config/index.ts";
import { float32 } from "../../src/torch/index.ts";
import { Trainer } from "../../src/train/index.ts";
import { root } from "../programs.ts";
import { makeTinyModel } from "./tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-mixed-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const model = makeTinyModel(join(folder, "model"));

async function lossesOf(name: string, training: object): Promise<{ losses: number[]; config: Config }> {
  const losses: number[] = [];
  const config = Config.create({
    job: { dump_folder: folder, name },
    model: { hf_assets_path: model },
    processes: { procs: 1, with_gpus: false },
    optimizer: { lr: 2e-2 },
    lr_scheduler: { warmup_steps: 2 },
    training: {
      local_batch_size: 2,
      global_batch_size: 4,
      seq_len: 128,
      steps: 24,
      seed: 3,
      datasets: [{ path: join(root, "data", "alpaca-python.jsonl") }],
      ...training,
    },
    checkpoint: { enable: false },
  });
  const trainer = await Trainer.create(config, {
    onRecord: (record) => {
      if (record.kind === "train") losses.push(record.loss);
    },
  });
  try {
    await trainer.train();
    for (const [key, parameter] of trainer.model.parameters) assert.equal(parameter.dtype, float32, key);
    for (const { parameter, part, tensor } of trainer.optimizer.state()) {
      if (tensor.dtype.isFloatingPoint) assert.equal(tensor.dtype, float32, `${parameter} ${part}`);
    }
  } finally {
    await trainer.close();
    trainer.model.dispose();
  }
  return { losses, config };
}

test(
  "bfloat16 in forward and backward, float32 weights: learns as float32 does",
  { timeout: 300_000 },
  async () => {
    const plain = await lossesOf("plain", {});
    assert.equal(plain.config.training.mixed_precision_param, "float32", "the default of a CPU run");
    assert.equal(plain.config.training.dtype, "float32");
    const mixed = await lossesOf("mixed", { dtype: "float32", mixed_precision_param: "bfloat16" });
    const [first, last] = [mixed.losses[0]!, mixed.losses.at(-1)!];
    assert.ok(last < first - 1, `the loss fell from ${first} to ${last}`);
    for (const [i, loss] of mixed.losses.entries()) {
      const expected = plain.losses[i]!;
      // Logits are off by some 2^-9 of their size either way, and a loss is a mean over hundreds of tokens, in which that
      // falls out for the most part.
      assert.ok(Math.abs(loss - expected) < 2 ** -9 * expected, `step ${i + 1}: ${loss} and ${expected}`);
    }
    assert.notDeepEqual(mixed.losses, plain.losses);
  },
);
