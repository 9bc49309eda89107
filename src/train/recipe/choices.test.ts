import assert from "node:assert/strict";
import { test } from "node:test";

import { parseModelConfig, flavorJson } from "../../models/index.ts";
import { chooseRecipe, configOf, type RecipeFacts } from "./choices.ts";
import { recipeText } from "./text.ts";

const gib = 2 ** 30;
const cpu = { memory: 16 * gib, hasGpu: false, gpus: 1 };
const gpu = (memory: number, gpus = 1) => ({ memory: memory * gib, hasGpu: true, gpus });

function facts(
  [family, size]: readonly [string, string],
  machine: RecipeFacts["machine"],
  rows = { count: 5000, p95: 300, max: 380 },
): RecipeFacts {
  const lengths = { min: 10, median: rows.p95 / 2, mean: rows.p95 / 2, p95: rows.p95, max: rows.max };
  const ledger = { rows: rows.count, trained: rows.count } as RecipeFacts["stats"]["ledger"];
  return {
    model: "hf://org/name",
    modelConfig: parseModelConfig(flavorJson(family, size), "config.json"),
    data: "rows.jsonl",
    stats: { lengths, ledger, tokens: (rows.count * rows.p95) / 2 },
    machine,
  };
}

test("a small model on a CPU is trained whole, in sequences that hold the longest row", () => {
  const { recipe, memory } = chooseRecipe(facts(["smollm2", "135M"], cpu));
  const { training, processes, optimizer, activation_checkpoint, checkpoint } = configOf(recipe);
  assert.equal(recipe["adapter"], undefined);
  assert.equal(training.seq_len, 384);
  assert.equal(training.epochs, 3);
  assert.equal(processes.with_gpus, false);
  assert.equal(optimizer.lr, 1e-4);
  assert.equal(activation_checkpoint.mode, "none");
  assert.ok(memory < 0.8 * 16 * gib);
  // 1,954 sequences, three times: 64 steps or more of a power of two, with a checkpoint at each third.
  assert.equal(training.global_batch_size, 32);
  assert.equal(checkpoint.interval, 61);
  assert.deepEqual(
    [training.datasets[0]?.split, configOf(recipe).eval.datasets[0]?.split],
    ["train[:95%]", "train[95%:]"],
  );
});

test("what doesn't fit whole is recomputed, then adapted, then refused", () => {
  const waysOf = (machine: RecipeFacts["machine"]): string => {
    const chosen = configOf(chooseRecipe(facts(["llama3", "8B"], machine)).recipe);
    return `${chosen.adapter.method} ${chosen.quantize.base} ${chosen.activation_checkpoint.mode}`;
  };
  const rows = [200, 100, 58, 24].map((memory) => waysOf(gpu(memory)));
  assert.deepEqual(rows, ["none none none", "lora none none", "lora none full", "lora nf4 none"]);
  assert.throws(() => waysOf(gpu(4)), {
    name: "UserError",
    message:
      /^--model: hf:\/\/org\/name \(8\.0 billion parameters\) doesn't fit into the 4\.0 GiB of the GPU's memory that are free, not even as an adapter of 4-bit weights\./,
  });
});

test("few rows for a large model make an adapter; very few are all trained", () => {
  const few = chooseRecipe(facts(["llama3", "3B"], gpu(140), { count: 30, p95: 200, max: 200 })).recipe;
  assert.match(few["adapter"]!["method"]!.reason, /30 rows are few for 3\.2 billion parameters/);
  assert.equal(few["eval"], undefined);
  assert.equal(configOf(few).training.datasets[0]?.split, "train");
});

test("one long row doesn't make all sequences long, and none is longer than the model", () => {
  const recipe = chooseRecipe(facts(["smollm2", "135M"], cpu, { count: 500, p95: 700, max: 9000 })).recipe;
  assert.equal(recipe["training"]!["seq_len"]!.value, 704);
  assert.match(recipe["training"]!["seq_len"]!.reason, /95 % of the rows fit; the longest has 9000 tokens/);
  const long = chooseRecipe(
    facts(["smollm2", "135M"], gpu(4000), { count: 500, p95: 140_000, max: 150_000 }),
  ).recipe;
  assert.equal(long["training"]!["seq_len"]!.value, 131_072);
});

test("several GPUs have a process each; data that can't be trained is told", () => {
  const recipe = chooseRecipe(facts(["smollm2", "135M"], gpu(24, 4))).recipe;
  const { processes, training } = configOf(recipe);
  assert.equal(processes.procs, 4);
  assert.equal(training.global_batch_size % 4, 0);
  assert.equal(training.mixed_precision_param, "bfloat16");
  assert.throws(() => chooseRecipe(facts(["smollm2", "135M"], cpu, { count: 0, p95: 1, max: 1 })), {
    name: "UserError",
    message: /^--data: none of the 0 rows of rows\.jsonl can be trained/,
  });
});

test("the text is the recipe, with a reason behind each value", () => {
  const chosen = chooseRecipe(facts(["smollm2", "135M"], cpu));
  const text = recipeText(chosen, "run.yaml");
  assert.match(text, /npx torchforge sft --config run\.yaml/);
  assert.match(text, /\n {2}seq_len: 384 # the longest row has 380 tokens; several rows share a sequence\n/);
  assert.match(text, /\n {2}datasets: # 5000 rows.*\n {4}- path: rows\.jsonl\n {6}split: train\[:95%\]\n/);
});
