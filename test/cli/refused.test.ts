// What `forge sft` refuses, and before what: a wrong configuration before another process or a native addon is loaded, data
// of which nothing would be trained before weights are.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { pathToFileURL } from "node:url";

import { root } from "../programs.ts";
import { forge, makePlace, type Ended } from "./forge.ts";

const place = makePlace();
after(() => rmSync(place.folder, { recursive: true, force: true }));

const sft = (...args: string[]): string[] => ["sft", "--config", place.config, ...args];
const log = join(place.folder, "probe.log");

/** Runs a command and tells the processes that it began, the addons that they loaded. */
async function probed(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<[Ended, string[]]> {
  writeFileSync(log, "");
  const probe = pathToFileURL(join(import.meta.dirname, "probe.mjs")).href;
  const ended = await forge(args, { env: { ...env, NODE_OPTIONS: `--import=${probe}`, PROBE_LOG: log } });
  return [ended, readFileSync(log, "utf8").trim().split("\n")];
}

void suite("what forge sft refuses", { timeout: 600_000 }, () => {
  void test("a wrong configuration: exit code 2 before a worker is started or libtorch is loaded", async () => {
    const odd = join(place.folder, "odd.jsonl");
    writeFileSync(odd, `{"question": "?"}\n`);
    const nothing = join(place.folder, "nothing.jsonl");
    writeFileSync(nothing, "\n");
    const empty = join(place.folder, "empty-model");
    mkdirSync(empty);
    const other = join(place.folder, "other-model");
    mkdirSync(other);
    writeFileSync(join(other, "config.json"), `{"model_type": "gpt2"}\n`);
    const cases: [args: string[], message: RegExp][] = [
      [sft("training.stepz=1"), /^error: .*training\.stepz.*training\.steps/],
      [sft("training.steps=zero"), /^error: .*training\.steps: expected .*found "zero"/],
      [
        // Node's recursive mkdir never returns there.
        sft("job.dump_folder=/proc/torchforge"),
        /^error: job\.dump_folder: can't write in \/proc\/torchforge: .*; give a folder that you can write to/,
      ],
      [
        sft(`job.dump_folder=${odd}/runs`),
        /^error: job\.dump_folder: .*odd\.jsonl is a file, not a folder; give a folder/,
      ],
      [sft("training.compile=true"), /^error: .*training\.compile: true is not supported yet/],
      [sft("training.dataset=nowhere.jsonl"), /^error: training\.dataset: nowhere\.jsonl was not found/],
      [
        sft(`training.dataset=${odd}`),
        /^error: training\.dataset: no known format fits the columns question/,
      ],
      [sft(`training.dataset=${nothing}`), /^error: training\.dataset: .*nothing\.jsonl has no rows/],
      [
        sft(`eval.datasets=[{path: ${nothing}}]`),
        /^error: eval\.datasets\[0\]: .*nothing\.jsonl has no rows/,
      ],
      [sft("model.flavor=8B"), /^error: override: model\.flavor \(8B\) needs model\.name/],
      [
        sft(`training.datasets=[{path: ${odd}, format: bogus}]`),
        /^error: override: training\.datasets\[0\]\.format: expected/,
      ],
      [
        ["config", "print", "--nonsense"],
        /^error: unknown option '--nonsense'\n\(add --help for the options\)/,
      ],
      [
        sft("model.hf_assets_path=./nowhere"),
        /^error: model\.hf_assets_path: expected a model folder, found nothing at .*nowhere/,
      ],
      [
        sft(`model.hf_assets_path=${empty}`),
        /^error: model\.hf_assets_path: expected config\.json in .*empty-model, found nothing/,
      ],
      [
        sft(`model.hf_assets_path=${other}`),
        /^error: .*other-model.config\.json: model_type: expected one of .*/,
      ],
      [
        sft("model.name=llama3", "model.flavor=8B"),
        /^error: model\.flavor: llama3 8B has hidden_size 4096, but config\.json in model\.hf_assets_path says/,
      ],
      [
        sft("checkpoint.initial_load_path=./nowhere"),
        /^error: checkpoint\.initial_load_path: expected a model folder/,
      ],
      [["sft", "--config", "nowhere.yaml"], /^error: .*nowhere\.yaml/],
    ];
    // A libtorch that isn't there: with whatever needs it the message would be another.
    const env = { TORCHFORGE_LIBTORCH: join(place.folder, "no-libtorch") };
    for (const [args, message] of cases) {
      const [{ code, stderr }, loaded] = await probed(args, env);
      assert.match(stderr, message);
      assert.equal(code, 2, stderr);
      assert.deepEqual(loaded, [`process ${join(root, "src/cli/main.ts")}`], args.join(" "));
    }
  });

  void test("the probe of that test sees workers and addons", async () => {
    const [{ code, stderr }, loaded] = await probed(sft("training.steps=1", "job.name=probe"));
    assert.equal(code, 0, stderr);
    assert.equal(loaded.filter((line) => line.startsWith("process ")).length, 2, loaded.join("\n"));
    assert.ok(loaded.some((line) => /^addon .*torchforge\.node$/.test(line)));
  });

  void test("a run in which nothing would be trained: the reason, before weights are loaded", async () => {
    const path = join(place.folder, "questions.jsonl");
    const question = JSON.stringify({ messages: [{ role: "user", content: "only a question" }] });
    writeFileSync(path, `${question}\n`.repeat(20));
    writeFileSync(join(place.folder, "bad.jsonl"), `${question}\n{"messages": 3}\n`);
    // Weights that can't be loaded: an error about them would mean that they were tried first.
    const model = join(place.folder, "unloadable");
    mkdirSync(model);
    for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json"])
      writeFileSync(join(model, name), readFileSync(join(place.model, name)));
    writeFileSync(join(model, "model.safetensors"), "not weights");
    for (const packed of ["true", "false"]) {
      const found = await forge(
        sft(`training.dataset=${path}`, `model.hf_assets_path=${model}`, `training.packed=${packed}`),
      );
      assert.match(
        found.stderr,
        /^error: training\.dataset: none of its 20 rows can be trained, so the run would learn nothing\. 20 rows: nothing in it is trained \(.*questions\.jsonl:\d+, /m,
      );
      assert.equal(found.code, 2, found.stderr);
      assert.ok(!found.stderr.includes("\n    at "));
    }
    const good = await forge(sft(`model.hf_assets_path=${model}`));
    assert.match(good.stderr, /^error: .*model\.safetensors/m);
  });
});
