// Each family against Transformers: see README.md. Everything is float32. Tolerance: logits and gradients are sums of some hundred
// products of numbers that are up to 2^-24 off, through a few layers: 1e-5 of the largest, in Transformers as here.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import { loadWeights, saveWeights } from "../../../src/checkpoint/index.ts";
import { blockSpecs, Decoder, generate, ownPrefixesOf, readModelConfig } from "../../../src/models/index.ts";
import { fileNames } from "../../../src/nn/index.ts";
import { makeOptimizer } from "../../../src/optim/index.ts";
import { openModelWeights } from "../../../src/safetensors/index.ts";
import {
  bfloat16,
  cat,
  float64,
  fromTypedArray,
  noGrad,
  scope,
  zerosLike,
  type Tensor,
} from "../../../src/torch/index.ts";
import { forwardBackward, type StepOptions } from "../../../src/train/engine/step.ts";
import { assertClose } from "../../assert-close.ts";
import { names, probesOf, readFixture, writeModel, type Fixture, type Probes } from "./fixture.ts";

const tolerance = 1e-5;
const work = mkdtempSync(join(tmpdir(), "torchforge-families-"));
after(() => rmSync(work, { recursive: true, force: true }));

const ids = (values: readonly number[]): Tensor =>
  fromTypedArray(BigInt64Array.from(values, BigInt), [values.length]);

interface Batch {
  readonly tokens: Tensor;
  readonly labels: Tensor;
  readonly positions: Tensor;
  readonly lengths: readonly number[];
  readonly realTokens: number;
  readonly trainedTokens: number;
}

/** The documents of a fixture, or some of them, in one pack. */
function batchOf({ documents, untrained }: Fixture, which = [0, 1]): Batch {
  const some = which.map((i) => documents[i]!);
  const labels = which.flatMap((i) =>
    documents[i]!.map((_, at, all) =>
      at < untrained[i]! || at === all.length - 1 ? -100 : documents[i]![at + 1]!,
    ),
  );
  const lengths = some.map(({ length }) => length);
  return {
    tokens: ids(some.flat()),
    labels: ids(labels),
    positions: ids(lengths.flatMap((length) => Array.from({ length }, (_, i) => i))),
    lengths,
    realTokens: labels.length,
    trainedTokens: labels.filter((label) => label >= 0).length,
  };
}

/** [T, V] */
const logitsOf = (model: Decoder, { tokens, ...sequence }: Batch): Tensor =>
  noGrad(() => model.head.logits(model.hidden(tokens, sequence)));

/** @param floor what the norm counts for at least: of numbers that are 0 but for rounding */
function assertProbes(found: Float64Array, expected: Probes, what: string, floor = 0): void {
  const probes = probesOf(found, expected.length - 1);
  const off = Math.max(...expected.map((one, i) => Math.abs(one - probes[i]!)));
  const norm = Math.max(expected[0]!, floor);
  assert.ok(off <= tolerance * norm, `${what}: off by ${off} where the norm is ${norm}`);
}

const numbersOf = (tensor: Tensor): Float64Array =>
  tensor.detach().to(float64).contiguous().toTypedArray({ copy: true }) as Float64Array;

/** What a model has under the names of its files: weights, or gradients. */
function inFile(model: Decoder, of: (parameter: Tensor) => Tensor): Map<string, Float64Array> {
  const { places } = fileNames(blockSpecs(model.config));
  const parts = new Map<string, { start: number; values: Float64Array }[]>();
  for (const [name, parameter] of model.parameters) {
    const place = places.get(name);
    const own = parts.get(place?.into ?? name) ?? [];
    own.push({ start: place?.start ?? 0, values: numbersOf(of(parameter)) });
    parts.set(place?.into ?? name, own);
  }
  return new Map(
    [...parts].map(([name, own]) => {
      own.sort((a, b) => a.start - b.start);
      return [name, Float64Array.from(own.flatMap(({ values }) => [...values]))];
    }),
  );
}

void suite("families are Transformers'", { timeout: 600_000 }, () => {
  for (const name of names) {
    const fixture = readFixture(name);
    const folder = join(work, name);

    void test(`${name}: logits, gradients, packs, steps, answers, files`, () => {
      using _ = scope();
      writeModel(folder, fixture);
      const config = readModelConfig(folder);
      const model = new Decoder(config);
      const names = fileNames(blockSpecs(config));
      const ownPrefixes = ownPrefixesOf(config);
      loadWeights(folder, model.parameters, names);
      model.prepare(64);
      const batch = batchOf(fixture);

      const answers = generate(model, fixture.prompts, { maxNewTokens: fixture.answers[0]!.length });
      const logits = logitsOf(model, batch);
      for (const [i, expected] of fixture.logits.entries())
        assertProbes(numbersOf(logits.select(0, i)), expected, `logits of token ${i}`);
      assert.deepEqual(answers, fixture.answers);

      // Sums over a pack have another order than those over a document.
      const alone = cat([0, 1].map((which) => logitsOf(model, batchOf(fixture, [which]))));
      assertClose(logits, alone, { rtol: 1e-6 }, "packed documents");

      // Of 8 bits: products and activations are off by 2^-9 each, sums of many by less.
      const narrow = forwardBackward(model, batch, 1 / batch.trainedTokens, {
        computeDtype: bfloat16,
      }).item();
      assertClose(narrow, fixture.losses[0]!, { rtol: 2e-2 }, "loss of mixed precision");
      const found = inFile(model, (parameter) => parameter.grad ?? zerosLike(parameter));
      const largest = Math.max(...Object.values(fixture.gradients).map(([norm]) => norm!));
      for (const [key, values] of found) {
        const [expected = 0] = fixture.gradients[key]!;
        const [norm = 0] = probesOf(values, 0);
        assert.ok(
          Math.abs(norm - expected) <= 0.15 * Math.max(expected, 0.1 * largest),
          `${key}: gradients of mixed precision have norm ${norm}, those of float32 ${expected}`,
        );
      }
      for (const parameter of model.parameters.values()) parameter.grad = undefined;

      const { lr, ...settings } = fixture.optimizer;
      const optimizer = makeOptimizer(
        { lr, ...settings, beta2: 0.999, implementation: "fused" },
        new Map([...model.parameters].filter(([, { requiresGrad }]) => requiresGrad)),
      );
      const modes: StepOptions[] = [
        { checkpointing: "none" },
        { checkpointing: "selective", selective: "op" },
        { checkpointing: "full", logitsChunk: 300 },
      ];
      for (const [step, expected] of fixture.losses.entries()) {
        // Every mode of activation checkpointing takes two of the steps.
        const options = modes[step % modes.length]!;
        const loss = forwardBackward(model, batch, 1 / batch.trainedTokens, options).item();
        assertClose(loss, expected, { rtol: tolerance }, `loss of step ${step + 1}`);
        if (step === 0) {
          const gradients = inFile(model, (parameter) => parameter.grad ?? zerosLike(parameter));
          // What the model is a part of has none.
          const own = Object.keys(fixture.gradients).filter(
            (key) => ownPrefixes?.some((prefix) => key.startsWith(prefix)) ?? true,
          );
          assert.deepEqual([...gradients.keys()].sort(), own.sort());
          const floor = 1e-2 * Math.max(...Object.values(fixture.gradients).map(([norm]) => norm!));
          for (const [key, values] of gradients)
            assertProbes(values, fixture.gradients[key]!, `gradient of ${key}`, floor);
        }
        optimizer.step(lr);
        optimizer.zeroGrad();
        if (step !== 1) continue;
        // Of the model after two steps: files of the same names and shapes, which load again.
        const target = join(work, `${name}-export`);
        saveWeights(target, model.parameters, { ...names, sourceFolder: folder, ownPrefixes });
        using written = openModelWeights(target);
        using original = openModelWeights(folder);
        assert.deepEqual([...written.names].sort(), [...original.names].sort());
        for (const one of written.names) {
          assert.deepEqual(written.info(one).shape, original.info(one).shape);
          if (ownPrefixes?.some((prefix) => one.startsWith(prefix)) === false)
            assert.deepEqual(written.read(one), original.read(one), `${one} is carried over`);
        }
        const again = new Decoder(config);
        loadWeights(target, again.parameters, names);
        for (const [key, parameter] of again.parameters)
          assert.ok(parameter.equal(model.parameters.get(key)!), key);
      }
    });
  }
});
