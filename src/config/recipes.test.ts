// Every recipe in recipes/ is a valid configuration, for us and for editors (JSON Schema).
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";

import { Ajv } from "ajv";
import { parse } from "yaml";

import { Config } from "./config.ts";
import { jsonSchema } from "./schema/json-schema.ts";
import { presets, presetTable } from "./presets.ts";
import type { ConfigInput } from "./schema/schema.ts";
import { model } from "./testing.ts";

const folder = resolve(import.meta.dirname, "../../recipes");
const recipes = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
const valid = new Ajv({ allowUnionTypes: true }).compile(jsonSchema());

test("there are recipes of every family, and one for each preset", () => {
  for (const name of ["llama3_8b.yaml", "qwen2_5_0_5b.yaml", "qwen3_30b_a3b.yaml", "smollm2_135m.yaml"])
    assert.ok(recipes.includes(name));
  for (const { recipe } of Object.values(presetTable)) assert.ok(recipes.includes(recipe), recipe);
});

for (const name of recipes) {
  test(`recipes/${name} is valid, and knows its schema`, () => {
    const text = readFileSync(join(folder, name), "utf8");
    assert.match(text, /^# yaml-language-server: \$schema=\.\/schema\.json\n/);
    assert.ok(valid(parse(text)), JSON.stringify(valid.errors));
    const config = Config.fromYaml(join(folder, name), { allowUnsupported: true });
    assert.deepEqual(config.warnings, []);
    assert.deepEqual(config.unsupported, []);
  });
}

test("a preset and its recipe say the same", () => {
  for (const preset of Object.values(presetTable)) {
    const recipe = parse(readFileSync(join(folder, preset.recipe), "utf8")) as Record<string, object>;
    for (const [section, values] of Object.entries(preset.values as Record<string, object>)) {
      assert.deepEqual({ ...recipe[section], ...values }, recipe[section], `${preset.recipe}: ${section}`);
    }
  }
});

test("presets take your sections over theirs, and change nothing of yours", () => {
  const mine: ConfigInput = { model, processes: { with_gpus: false }, training: { steps: 10 } };
  const before = structuredClone(mine);
  const config = Config.create(presets.quickTest(mine));
  assert.deepEqual(mine, before);
  assert.equal(config.training.steps, 10);
  assert.equal(config.training.seq_len, 1024);
  assert.equal(config.processes.with_gpus, false);
  const full = Config.create(presets.fullTraining({ model }), { allowUnsupported: true });
  assert.equal(full.spec.degrees.shard, 8);
  assert.equal(full.training.steps, 5000);
  assert.equal(Config.create(presets.memoryConstrained({ model })).activation_checkpoint.mode, "selective");
  const resumed = Config.create(presets.resume({ model, checkpoint: { folder: "/ckpt" } }));
  assert.equal(resumed.checkpoint.interval, 500);
  assert.equal(resumed.checkpoint.folder, "/ckpt");
});

test("the JSON Schema accepts interpolations and empty sections, and refuses what the configuration refuses", () => {
  const accepted = [
    { model, training: null },
    { model, training: { steps: "${oc.env:STEPS,100}" } },
    { model, training: { datasets: [{ path: "a", split: "train[:5%]" }] } },
    {
      model,
      metric_logging: { console: { enable: false } },
      activation_checkpoint: { selective_ac_option: 2 },
    },
    Config.create({ model }).toObject(),
  ];
  for (const value of accepted)
    assert.ok(valid(value), `${JSON.stringify(value)}: ${JSON.stringify(valid.errors)}`);
  const refused = [
    {},
    { model, trainin: {} },
    { model, training: { stepz: 1 } },
    { model, training: { steps: "100" } },
    { model, training: { steps: 0 } },
    { model, optimizer: { name: "SGD" } },
    { model, training: { datasets: [{ split: "train" }] } },
    { model: {} },
  ];
  for (const value of refused) assert.ok(!valid(value), JSON.stringify(value));
});
