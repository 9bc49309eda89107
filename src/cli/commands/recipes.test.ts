import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import test from "node:test";

import { trainingDatasets } from "../../data/index.ts";
import { configFrom } from "../config-from.ts";
import { configFile, listRecipes, recipeFolder } from "../recipe-files.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-recipes-"));
test.after(() => rmSync(work, { recursive: true, force: true }));
const main = join(import.meta.dirname, "..", "main.ts");
const forge = (...args: string[]) =>
  spawnSync(process.execPath, [main, ...args], { encoding: "utf8", cwd: work, timeout: 60_000 });

test("a recipe is found by its name, a user's file first", () => {
  const recipe = join(recipeFolder, "smollm2_135m.yaml");
  for (const name of ["smollm2_135m", "smollm2_135m.yaml", "recipes/smollm2_135m.yaml"]) {
    // In the repository the last one is a file, too.
    assert.equal(resolve(configFile(name)), recipe);
  }
  const own = join(work, "own.yaml");
  writeFileSync(own, "");
  assert.equal(configFile(own), own);
  assert.throws(() => configFile("smollm2"), {
    name: "UserError",
    message:
      /^--config: expected a YAML file, or one of the recipes \(full_training, .*\), found neither at smollm2; did you mean smollm2_135m\?$/,
  });
});

test("every recipe has a summary; a copy is a configuration that runs", { timeout: 120_000 }, () => {
  for (const { name, summary } of listRecipes()) assert.match(summary, /^[A-Z].{20,}\.$/, name);
  const { stdout } = forge("recipes");
  assert.match(stdout, /^smollm2_135m +SmolLM2-135M-Instruct, small enough for a CPU\.$/m);
  const copied = forge("recipes", "copy", "smollm2_135m", "mine.yaml");
  assert.equal(copied.status, 0, copied.stderr);
  const schema = /\$schema=(.*)/.exec(readFileSync(join(work, "mine.yaml"), "utf8"))![1]!;
  assert.equal(resolve(work, schema), join(recipeFolder, "schema.json"));
  const printed = (config: string) => forge("config", "print", "--config", config, "--json").stdout;
  assert.ok(printed("smollm2_135m").length > 100);
  assert.equal(printed("mine.yaml"), printed("smollm2_135m"));
  // What the copy advises works.
  const advised = /^try it: +npx torchforge (.*)$/m.exec(copied.stdout)![1]!.split(" ");
  assert.equal(forge(...advised).status, 0);
  const again = forge("recipes", "copy", "smollm2_135m", "mine.yaml");
  assert.equal(again.status, 2);
  assert.match(again.stderr, /^error: mine\.yaml is there already; give another name/);
});

test("a copy's folder is made; where none can be, that is said", { timeout: 120_000 }, () => {
  const copied = forge("recipes", "copy", "smollm2_135m", "not/there/my.yaml");
  assert.equal(copied.status, 0, copied.stderr);
  const schema = /\$schema=(.*)/.exec(readFileSync(join(work, "not/there/my.yaml"), "utf8"))![1]!;
  assert.equal(resolve(work, "not/there", schema), join(recipeFolder, "schema.json"));
  writeFileSync(join(work, "file"), "");
  for (const [target, why] of [
    [
      "file/x.yaml",
      /^error: file\/x\.yaml: expected a file that can be written, .*file is a file, not a folder\n$/,
    ],
    [
      "/proc/x.yaml",
      /^error: \/proc\/x\.yaml: expected a file that can be written, found that it can't: .*\n$/,
    ],
  ] as const) {
    const { status, stderr } = forge("recipes", "copy", "smollm2_135m", target);
    assert.equal(status, 2);
    assert.match(stderr, why);
  }
});

test("every command in a recipe's comment is a run", () => {
  let commands = 0;
  for (const { path, name } of listRecipes())
    for (const [, file, words] of readFileSync(path, "utf8").matchAll(
      /^# .*torchforge sft --config (\S+)(.*)$/gm,
    )) {
      assert.equal(configFile(file!), configFile(`recipes/${name}.yaml`));
      const overrides = words!.split(" ").filter(Boolean);
      const { spec } = configFrom(
        file,
        overrides.map((word) => word.replaceAll("'", "")),
      );
      assert.ok(trainingDatasets(spec).length > 0);
      commands++;
    }
  assert.ok(commands > 8, `${commands} commands`);
});
