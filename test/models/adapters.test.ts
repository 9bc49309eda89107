// Adapters against PEFT and Transformers: test/fixtures/adapters/make_adapters.py trained the same ones on the same rows.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";

import { loadAdapter, loadWeights } from "../../src/checkpoint/index.ts";
import { makeBatch } from "../../src/data/index.ts";
import {
  adaptersOf,
  blockSpecs,
  Decoder,
  formatsOf,
  peftConfigOf,
  readModelConfig,
  settingsOfPeft,
  tunedBlocks,
} from "../../src/models/index.ts";
import { firstTrainedBlock, parametersOf, tiedNames, type BlockSpec } from "../../src/nn/index.ts";
import { makeOptimizer } from "../../src/optim/index.ts";
import { Ranks, Single } from "../../src/parallel/index.ts";
import { openSafetensors } from "../../src/safetensors/index.ts";
import { float32, fromTypedArray, int64, noGrad, scope, type Tensor } from "../../src/torch/index.ts";
import { Update } from "../../src/train/engine/update.ts";
import type { StepOptions } from "../../src/train/index.ts";
import { readJsonObject } from "../../src/util/index.ts";
import { assertClose } from "../assert-close.ts";

const fixtures = join(import.meta.dirname, "..", "fixtures", "adapters");
const base = join(fixtures, "base");
/** Those named nf4 are of a base that bitsandbytes quantized. */
const variants = ["lora", "rslora", "dora", "patterns", "nf4-lora", "nf4-dora"] as const;
const baseOf = (name: string): string => (name.startsWith("nf4") ? join(fixtures, "nf4") : base);

interface Expected {
  lr: number;
  documents: number[][];
  losses: number[];
  gradNorms: number[];
}

const expectedOf = (name: string): Expected =>
  JSON.parse(readFileSync(join(fixtures, name, "expected.json"), "utf8")) as Expected;

/** The base with the adapter that PEFT saved of a variant. */
function open(
  variant: string,
  when: "before" | "after",
): { blocks: readonly BlockSpec[]; strategy: Single; model: Decoder } {
  const folder = join(fixtures, variant, when);
  const from = baseOf(variant);
  const config = readModelConfig(from);
  const settings = settingsOfPeft(readJsonObject(join(folder, "adapter_config.json")), folder);
  const blocks = tunedBlocks(blockSpecs(config), { trainable: [], adapter: settings });
  const strategy = new Single(blocks, { dtype: float32, device: "cpu" });
  const tied = tiedNames(blocks);
  const own = new Map([...strategy.parameters].filter(([name]) => !name.includes(".lora_")));
  const formats = formatsOf(blocks);
  loadWeights(from, own, { tied, formats });
  loadAdapter(folder, strategy.saved, { tied });
  const model = new Decoder(config, { parameters: strategy.full, adapters: adaptersOf(blocks), formats });
  model.prepare(64);
  return { blocks, strategy, model };
}

function logitsOf(model: Decoder, document: readonly number[]): Tensor {
  const tokens = fromTypedArray(BigInt64Array.from(document, BigInt), [document.length]);
  const positions = fromTypedArray(BigInt64Array.from(document.keys(), BigInt), [document.length]).to(int64);
  return noGrad(() => model.head.logits(model.hidden(tokens, { positions, lengths: [document.length] })));
}

function tensorsIn(file: string): Map<string, Tensor> {
  using source = openSafetensors(file);
  return new Map(
    source.names.map((name) => {
      const bytes = source.read(name);
      return [name, fromTypedArray(new Float32Array(bytes.buffer), source.info(name).shape)];
    }),
  );
}

// float32: a loss is a mean of some 20 tokens, whose sums have another order here. AdamW divides by √v + eps: an error of a small
// gradient, some 1e-8, comes out multiplied by at most lr / eps = 5e-3 / 1e-5. Twenty steps of that: 1e-5 of a weight of size 1.
const rtol = 1e-5;

const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  op: { checkpointing: "selective" },
  full: { checkpointing: "full" },
};

for (const name of variants)
  for (const [mode, options] of Object.entries(modes))
    void test(`${name}, checkpointing ${mode}: 20 steps give PEFT's losses and weights`, () => {
      using _ = scope();
      const { documents, losses, gradNorms, lr } = expectedOf(name);
      const { blocks, strategy, model } = open(name, "before");
      const optimizer = makeOptimizer({ lr, eps: 1e-5, weightDecay: 0.1 }, strategy.trained);
      const step = { ...options, firstTrained: firstTrainedBlock(blocks) };
      const update = new Update({ model, strategy, optimizer, ranks: Ranks.one, options: step });
      for (const [i, expected] of losses.entries()) {
        const pack = documents.slice(2 * i, 2 * i + 2).map((tokens, row) => ({
          row,
          columns: {
            tokens: Int32Array.from(tokens),
            lossMask: Uint8Array.from(tokens, (__, t) => Number(t > 0)),
          },
        }));
        const batch = makeBatch([pack], 64);
        const found = update.gradients([batch], batch.trainedTokens);
        assert.ok(
          Math.abs(found.loss - expected) <= rtol * expected,
          `step ${i}: ${found.loss}, ${expected}`,
        );
        assert.ok(Math.abs(found.norm - gradNorms[i]!) <= 1e-4 * gradNorms[i]!, `norm ${found.norm}`);
        for (const [parameter, tensor] of strategy.parameters)
          assert.equal(tensor.grad !== undefined, strategy.trained.has(parameter), parameter);
        update.apply(found, { lr, maxNorm: 1 });
      }
      const after = open(name, "after").strategy.saved;
      assert.deepEqual([...strategy.saved.keys()].sort(), [...after.keys()].sort());
      for (const [parameter, tensor] of strategy.saved)
        assertClose(tensor, after.get(parameter)!, { rtol, floor: 1 }, parameter);
    });

for (const name of variants)
  void test(`${name}: what PEFT saved gives its logits`, () => {
    using _ = scope();
    const { model } = open(name, "after");
    const expected = tensorsIn(join(fixtures, name, "logits.safetensors")).get("logits")!;
    assertClose(
      logitsOf(model, expectedOf(name).documents[0]!),
      expected,
      { rtol: 2e-5, floor: 1 },
      "logits",
    );
  });

for (const name of variants)
  void test(`${name}: our adapter_config.json describes the adapter that PEFT's does`, () => {
    const file = join(fixtures, name, "after", "adapter_config.json");
    const theirs = readJsonObject(file);
    const settings = settingsOfPeft(theirs, file);
    const blocks = blockSpecs(readModelConfig(baseOf(name)));
    const ours = peftConfigOf(settings, blocks, basename(baseOf(name)));
    // Their file may name each module, and tied ones twice; which parameters that means is compared below.
    for (const [key, value] of Object.entries(ours))
      if (!["target_modules", "modules_to_save"].includes(key))
        assert.deepEqual(value, theirs[key] ?? (key === "ensure_weight_tying" ? false : null), key);
    const again = settingsOfPeft(ours, file);
    const parametersWith = (one: typeof settings) => [
      ...parametersOf(tunedBlocks(blocks, { trainable: [], adapter: one })).values(),
    ];
    assert.deepEqual(parametersWith(again), parametersWith(settings));
    assert.deepEqual(
      [...adaptersOf(tunedBlocks(blocks, { trainable: [], adapter: again })).values()],
      [...adaptersOf(tunedBlocks(blocks, { trainable: [], adapter: settings })).values()],
    );
  });

void test("adapters that we can't compute are refused, with what to do", () => {
  const file = join(fixtures, "lora", "after", "adapter_config.json");
  const config = readJsonObject(file);
  const refused = (changes: object, message: RegExp): void => {
    assert.throws(() => settingsOfPeft({ ...config, ...changes }, "adapter_config.json"), message);
  };
  refused({ peft_type: "IA3" }, /peft_type: expected "LORA", found "IA3"\. In Python, merge the adapter/);
  refused({ bias: "all" }, /bias: expected "none", found "all"/);
  refused({ target_parameters: ["experts.gate_up_proj"] }, /target_parameters: expected \[\]/);
  refused({ init_lora_weights: "pissa" }, /this way to begin changes the base's weights/);
  refused({ use_dora: true, use_rslora: true }, /use_rslora: expected false beside use_dora/);
  refused({ r: "8" }, /adapter_config\.json: r: expected a positive number, found "8"/);
});
