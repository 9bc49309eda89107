import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { manualSeed, memoryStats, noGrad, scope, fromTypedArray, softmax } from "../torch/index.ts";
import { Decoder } from "./decoder.ts";
import { generate, type GenerateOptions } from "./generate.ts";
import { parseModelConfig } from "./read-config.ts";

const config = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 12,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    max_position_embeddings: 64,
  },
  "test",
);
manualSeed(3);
const model = new Decoder(config);
model.initialize(0.4);
model.prepare(8);
const prompt = [3, 7, 5];

/** Probabilities of the token after the prompt at a temperature. */
function probabilities(temperature: number): number[] {
  using _ = scope();
  const ids = (values: readonly number[]) =>
    fromTypedArray(BigInt64Array.from(values, BigInt), [values.length]);
  return noGrad(() => {
    const hidden = model.hidden(ids(prompt), { positions: ids([0, 1, 2]), lengths: [3] });
    const logits = model.head.logits(hidden).select(0, -1).div(temperature);
    return softmax(logits, -1).tolist() as number[];
  });
}

/** What the rules leave of them, as Transformers applies them: first the k likeliest, then the nucleus of those. */
function filtered(all: readonly number[], topK: number, topP: number): number[] {
  const order = all.map((_, i) => i).sort((a, b) => all[b]! - all[a]!);
  const normalize = (ids: number[]): Map<number, number> => {
    const sum = ids.reduce((total, id) => total + all[id]!, 0);
    return new Map(ids.map((id) => [id, all[id]! / sum]));
  };
  let kept = normalize(topK > 0 ? order.slice(0, topK) : order);
  let before = 0;
  const nucleus: number[] = [];
  for (const [id, p] of kept) {
    if (nucleus.length > 0 && before >= topP) break;
    nucleus.push(id);
    before += p;
  }
  kept = normalize(nucleus);
  return all.map((_, id) => kept.get(id) ?? 0);
}

function sample(count: number, options: Partial<GenerateOptions>): number[] {
  const answers = generate(
    model,
    Array.from({ length: count }, () => prompt),
    { maxNewTokens: 1, ...options },
  );
  return answers.map(([id]) => id!);
}

void suite("generate", { timeout: 60_000 }, () => {
  for (const [temperature, topK, topP] of [
    [1, 0, 1],
    [0.5, 0, 1],
    [2, 0, 1],
    [1, 3, 1],
    [1, 0, 0.6],
    [1.5, 6, 0.5],
    [1, 100, 0.999999],
  ] as const) {
    void test(`frequencies at temperature ${temperature}, top-k ${topK}, top-p ${topP}`, () => {
      const expected = filtered(probabilities(temperature), topK, topP);
      assert.ok(expected.filter((p) => p > 0.01).length > 1, "the case is worth testing");
      const count = 4000;
      const drawn = sample(count, { temperature, topK, topP, seed: 11 });
      for (const [id, p] of expected.entries()) {
        const found = drawn.filter((one) => one === id).length / count;
        if (p === 0) assert.equal(found, 0, `token ${id} is ruled out`);
        // Five standard deviations of a binomial.
        else
          assert.ok(
            Math.abs(found - p) <= 5 * Math.sqrt((p * (1 - p)) / count),
            `token ${id}: drawn ${found}, expected ${p}`,
          );
      }
    });
  }

  void test("a seed repeats the answer, another gives another; without one they differ", () => {
    const draw = (options: Partial<GenerateOptions>) =>
      generate(model, [prompt, [1]], { maxNewTokens: 20, temperature: 1.5, ...options });
    assert.deepEqual(draw({ seed: 5 }), draw({ seed: 5 }));
    assert.notDeepEqual(draw({ seed: 5 }), draw({ seed: 6 }));
    assert.notDeepEqual(draw({}), draw({}));
  });

  void test("temperature 0, top-k 1 and top-p 0 all take the likeliest token", () => {
    const greedy = generate(model, [prompt], { maxNewTokens: 10 });
    for (const options of [
      { temperature: 1, topK: 1 },
      { temperature: 1, topP: 0 },
    ]) {
      assert.deepEqual(generate(model, [prompt], { maxNewTokens: 10, ...options }), greedy);
    }
  });

  void test("an answer ends with its stop token while others go on; tokens are told as they come", () => {
    const prompts = [prompt, [1, 2, 3, 4, 5, 6, 8], [9]];
    const whole = generate(model, prompts, { maxNewTokens: 12 });
    for (const [i, answer] of whole.entries())
      assert.deepEqual(generate(model, [prompts[i]!], { maxNewTokens: 12 }), [answer], "alone as together");
    const stop = whole[0]![3]!;
    const expected = whole.map((answer) => {
      const at = answer.indexOf(stop);
      return at < 0 ? answer : answer.slice(0, at + 1);
    });
    const told: number[][] = prompts.map(() => []);
    const found = generate(model, prompts, {
      maxNewTokens: 12,
      stopIds: [stop],
      onToken: (row, id) => told[row]!.push(id),
    });
    assert.deepEqual(found, expected);
    assert.deepEqual(told, expected);
    assert.ok(expected[0]!.length <= 4);
  });

  void test("nothing is left in memory; a call inside of a scope leaves the model usable", () => {
    const fresh = new Decoder(config);
    fresh.initialize(0.4);
    {
      using _ = scope();
      generate(fresh, [prompt], { maxNewTokens: 5 });
    }
    const before = memoryStats().liveTensors;
    generate(fresh, [prompt], { maxNewTokens: 8, temperature: 1 });
    assert.equal(memoryStats().liveTensors, before);
    assert.deepEqual(generate(fresh, [], { maxNewTokens: 5 }), []);
    assert.throws(
      () => generate(fresh, [prompt, []], { maxNewTokens: 5 }),
      new Error("generate: prompt 1 is empty"),
    );
    fresh.dispose();
  });
});

test("options of no known name or value are refused", () => {
  for (const [options, message] of [
    [
      { maxNewtokens: 3 },
      "maxNewtokens is no option of answers; they are maxNewTokens, temperature, topP, topK, seed",
    ],
    [{ maxNewTokens: -3 }, "maxNewTokens: expected a whole number of at least 1, found -3"],
    [{ temperature: "hot" }, "temperature: expected a number of at least 0, found 'hot'"],
    [{ topP: 2 }, "topP: expected a number from 0 to 1, found 2"],
  ] as const)
    assert.throws(() => generate(model, [prompt], { maxNewTokens: 1, ...options } as never), {
      name: "UserError",
      message,
    });
});
