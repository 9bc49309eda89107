// What messages about a run's beginning advise helps: each way out that one names trains, without that message.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";

import { Config } from "../../src/config/index.ts";
import { Trainer } from "../../src/train/index.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-advice-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = makeTinyConfig(folder, makeTinyModel(join(folder, "model")), 2);
const other = makeTinyModel(join(folder, "other"), { hidden_size: 8 });
const rows = join(folder, "other.jsonl");
writeFileSync(rows, '{"instruction": "Say one", "output": "one"}\n'.repeat(20));

const outputs = join(folder, "outputs");
const stepOf = (name: string): string => join(outputs, name, "checkpoint", "step-2");

/** Runs it, and gives what was said and how many steps it took. */
async function run(overrides: readonly string[]): Promise<{ said: string; steps: number }> {
  const said: string[] = [];
  let steps = 0;
  try {
    const trainer = await Trainer.create(Config.fromYaml(path, { overrides }), {
      onNote: (note) => said.push(note),
    });
    try {
      const begun = trainer.currentStep;
      await trainer.train();
      steps = trainer.currentStep - begun;
    } finally {
      await trainer.close();
    }
  } catch (error) {
    assert.equal((error as Error).name, "UserError", String(error));
    said.push((error as Error).message);
  }
  return { said: said.join("\n"), steps };
}

const more = "training.steps=4";
const loading = (step: string): string => `checkpoint.initial_load_path=${step}`;

/** Overrides that are wrong, what is said, and the overrides of each way out. */
const advised: readonly [string, readonly string[], RegExp, readonly (readonly string[])[]][] = [
  [
    "a run that is done",
    ["job.name=done"],
    /raise training\.steps to go on, or choose another checkpoint\.folder to begin anew/,
    [[more], ["checkpoint.folder=anew"]],
  ],
  [
    "a run that is done, of which the weights alone are left",
    ["job.name=light"],
    /begins anew with them: checkpoint\.initial_load_path=.* and another checkpoint\.folder/,
    [[loading(stepOf("light")), "checkpoint.folder=anew"]],
  ],
  [
    "a run that can't go on from weights alone",
    ["job.name=light", more],
    /Either start a new run from them \(checkpoint\.initial_load_path=.* and another checkpoint\.folder\)/,
    [[loading(stepOf("light")), "checkpoint.folder=anew"]],
  ],
  [
    "a checkpoint that has the run's steps already",
    ["job.name=next", loading(stepOf("done"))],
    /raise training\.steps to go on from it, or begin anew with its weights: checkpoint\.initial_load_path=.*-hf$/m,
    [[more], [loading(`${stepOf("done")}-hf`)]],
  ],
  [
    "a checkpoint of another model",
    ["job.name=done", more, `model.hf_assets_path=${other}`],
    /begin anew with another job\.name or checkpoint\.folder/,
    [["job.name=another"], ["checkpoint.folder=anew"]],
  ],
  [
    "another configuration",
    ["job.name=done", more, "optimizer.lr=0.5", "checkpoint.strict_resume=true"],
    /Give the saved values, or leave out --strict-resume \(checkpoint\.strict_resume\)/,
    [["~checkpoint.strict_resume"]],
  ],
  [
    "other data",
    ["job.name=done", more, `training.datasets=[{path: ${rows}}]`],
    /To begin the data anew, set checkpoint\.exclude_from_loading: \[dataloader\]/,
    [["checkpoint.exclude_from_loading=[dataloader]"]],
  ],
  [
    "an adapter in a model's place",
    ["job.name=next", loading(`${stepOf("lora")}-hf`)],
    /give it as adapter\.initial_load_path, and the model that it adapts as model\.hf_assets_path/,
    [["~checkpoint.initial_load_path", `adapter.initial_load_path=${stepOf("lora")}-hf`]],
  ],
];

void suite("advice", { timeout: 300_000 }, () => {
  before(
    async () => {
      for (const [name, ...overrides] of [
        ["done", "checkpoint.last_save_in_hf=true"],
        ["light", "checkpoint.last_save_model_only=true"],
        ["lora", "adapter.method=lora", "checkpoint.last_save_in_hf=true"],
      ])
        assert.equal((await run([`job.name=${name}`, ...overrides])).steps, 2);
    },
    { timeout: 300_000 },
  );

  for (const [title, wrong, advice, ways] of advised)
    void test(title, async () => {
      const { said, steps } = await run(wrong);
      assert.match(said, advice);
      assert.equal(steps, 0);
      for (const [i, way] of ways.entries()) {
        // In a copy, which the next one finds as it was.
        const copy = join(folder, `${title}-${i}`.replaceAll(" ", "-"));
        cpSync(outputs, copy, { recursive: true });
        const followed = await run([...wrong, ...way, `job.dump_folder=${copy}`]);
        assert.ok(followed.steps > 0, `${way.join(" ")}: ${followed.said}`);
        assert.doesNotMatch(followed.said, advice);
      }
    });
});
