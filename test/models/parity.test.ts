// Every family against Transformers on the same weights: logits, loss, gradients, greedy answers. Expected values and the
// script that made them are in test/fixtures/models.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";

import { fill, loadWeights } from "../../src/checkpoint/index.ts";
import { blockSpecs, Decoder, generate, parseModelConfig, readModelConfig } from "../../src/models/index.ts";
import { openSafetensors } from "../../src/safetensors/index.ts";
import {
  empty,
  float32,
  float64,
  fromTypedArray,
  noGrad,
  scope,
  type Dtype,
  type Tensor,
} from "../../src/torch/index.ts";
import { tiedNames } from "../../src/nn/index.ts";
import { forwardBackward, type StepOptions } from "../../src/train/engine/step.ts";
import { root } from "../programs.ts";
import { assertClose } from "../assert-close.ts";

const fixtures = join(root, "test", "fixtures", "models");
const mixtures = ["mixtral", "qwen3-moe", "qwen3-moe-sparse-step"];
const families = ["llama2", "llama3.1", "llama-bias", "smollm2", "mistral", "qwen2", "qwen3", ...mixtures];

interface Expected {
  loss: number;
  loss64: number;
  prompts: number[][];
  continuations: number[][];
  wideContinuations?: number[][];
  /** The loss with that of the experts' balance. */
  balanced?: number;
  balanced64?: number;
}

const json = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
const documents = json(join(fixtures, "documents.json")) as { tokens: number[]; labels: number[] }[];
const lengths = documents.map(({ tokens }) => tokens.length);
const tokens = documents.flatMap((one) => one.tokens);
const labels = documents.flatMap((one) => one.labels);
const trained = labels.filter((label) => label >= 0).length;

/** `npm run test:cuda` sets it. */
const device = process.env["TORCHFORGE_TEST_DEVICE"] ?? "cpu";

const ids = (values: readonly number[]): Tensor =>
  fromTypedArray(BigInt64Array.from(values, BigInt), [values.length], { device });

function load(name: string, dtype: Dtype, changes: Record<string, unknown> = {}): Decoder {
  const folder = join(fixtures, name);
  const config =
    Object.keys(changes).length === 0
      ? readModelConfig(folder)
      : parseModelConfig({ ...(json(join(folder, "config.json")) as object), ...changes }, name);
  const model = new Decoder(config, { dtype, device });
  loadWeights(folder, model.parameters, { tied: tiedNames(blockSpecs(config)) });
  model.prepare(64);
  return model;
}

/** Tensors of a file of expected values, flat. */
function expectedValues(name: string, keys: readonly string[], of = "expected"): Tensor[] {
  using file = openSafetensors(join(fixtures, name, `${of}.safetensors`));
  return keys.map((key) => {
    const target = empty(file.info(key).shape, { dtype: float64 });
    fill(file, key, file.info(key), target, undefined);
    return target.flatten();
  });
}

// float32: values are of order 1 (logits up to 10, gradients up to 1), Transformers in float32 itself is up to 3e-6 away
// from the same in float64, and sums run in another order here. float64: what differs is the order alone.
const cases = [
  { dtype: float32, suffix: "", tolerance: 1e-5 },
  { dtype: float64, suffix: "64", tolerance: 1e-12 },
] as const;

/** In every mode of activation checkpointing. */
function assertGradients(
  model: Decoder,
  name: string,
  dtype: Dtype,
  expected: Expected,
  file: "expected" | "balanced" = "expected",
): void {
  const { suffix, tolerance } = cases.find((one) => one.dtype === dtype)!;
  const wanted = expected[`${file === "expected" ? "loss" : file}${suffix}`]!;
  const keys = [...model.parameters.keys()];
  const gradients = expectedValues(
    name,
    keys.map((key) => `grad${suffix}.${key}`),
    file,
  );
  const variants: StepOptions[] = [
    { checkpointing: "none" },
    { checkpointing: "selective" },
    { checkpointing: "full", logitsChunk: 200 },
  ];
  for (const options of variants) {
    const batch = {
      tokens: ids(tokens),
      labels: ids(labels),
      positions: ids(lengths.flatMap((length) => Array.from({ length }, (_, i) => i))),
      lengths,
      realTokens: tokens.length,
      trainedTokens: trained,
    };
    const loss = forwardBackward(model, batch, 1 / trained, options).item();
    assert.ok(Math.abs(loss - wanted) <= tolerance, `loss ${loss}, expected ${wanted}`);
    for (const [i, key] of keys.entries()) {
      const parameter = model.parameters.get(key)!;
      assertClose(
        parameter.grad!.flatten(),
        gradients[i]!,
        { atol: tolerance },
        `${options.checkpointing}, gradient of ${key}`,
      );
      parameter.grad = undefined;
    }
  }
}

void suite("models equal Transformers'", { timeout: 120_000 }, () => {
  for (const name of families) {
    const expected = json(join(fixtures, name, "expected.json")) as Expected;

    for (const { dtype, suffix, tolerance } of cases) {
      void test(`${name}: logits, loss and gradients of two documents in a pack, ${dtype.name}`, () => {
        using _ = scope();
        const model = load(name, dtype);
        const positions = ids(lengths.flatMap((length) => Array.from({ length }, (_, i) => i)));
        const logits = noGrad(() => model.head.logits(model.hidden(ids(tokens), { positions, lengths })));
        assertClose(
          logits.flatten(),
          expectedValues(name, [`logits${suffix}`])[0]!,
          { atol: tolerance },
          "logits",
        );

        assertGradients(model, name, dtype, expected);
      });

      if (!mixtures.includes(name)) continue;
      void test(`${name}: loss and gradients with the balance of experts, ${dtype.name}`, () => {
        using _ = scope();
        const model = load(name, dtype, { output_router_logits: true });
        assertGradients(model, name, dtype, expected, "balanced");
      });
    }

    void test(`${name}: greedy answers of two prompts at once`, () => {
      using _ = scope();
      const options = { maxNewTokens: expected.continuations[0]!.length };
      assert.deepEqual(generate(load(name, float32), expected.prompts, options), expected.continuations);
      if (expected.wideContinuations) {
        const wide = load(name, float32, { sliding_window: 64 });
        assert.deepEqual(generate(wide, expected.prompts, options), expected.wideContinuations);
      }
    });
  }
});
