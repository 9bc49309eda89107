// Advice that is printed can be followed: every command that a text names is there with its options, every key is one, and what
// the checks of a configuration say makes it valid.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";

import type { ts } from "@ts-morph/common";
import type { Command } from "commander";

import { allKeyNames, Config, type ConfigInput } from "../config/index.ts";
import { loadTypeScript } from "../util/index.ts";
import { commands } from "./commands.ts";

const source = resolve(import.meta.dirname, "..");

/** Every text in the sources, with its file and line: literals, and templates with … for what is put in. */
function* texts(): Generator<{ text: string; place: string }> {
  const compiler = loadTypeScript();
  for (const name of readdirSync(source, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts") || name.endsWith(".test.ts") || name.includes("generated")) continue;
    const code = readFileSync(join(source, name), "utf8");
    const file = compiler.createSourceFile(name, code, compiler.ScriptTarget.Latest, true);
    const found: { text: string; place: string }[] = [];
    const visit = (node: ts.Node): void => {
      const place = `${name}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
      if (compiler.isStringLiteral(node) || compiler.isNoSubstitutionTemplateLiteral(node))
        found.push({ text: node.text, place });
      else if (compiler.isTemplateExpression(node))
        found.push({
          text: node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join(""),
          place,
        });
      compiler.forEachChild(node, visit);
    };
    visit(file);
    yield* found;
  }
}

const optionsOf = (command: Command): string[] => command.options.flatMap(({ long }) => long ?? []);

test("every command that a text names is there, with its options", { timeout: 240_000 }, async () => {
  const known = new Map<string, Command>();
  for (const { name, load } of commands) known.set(name, (await load()).command());
  let count = 0;
  const wrong: string[] = [];
  for (const { text, place } of texts())
    for (const [all, name, rest] of text.matchAll(
      /(?:npx (?:torch)?forge|`(?:torch)?forge|: (?:torch)?forge) ([a-z][a-z-]*)([^`\n);,]*)/g,
    )) {
      count++;
      const command = known.get(name!);
      if (command === undefined) {
        wrong.push(`${place}: there is no command ${name}: ${all}`);
        continue;
      }
      const [word] = /^ ([a-z][a-z-]*)\b(?![.=/])/.exec(rest!)?.slice(1) ?? [];
      const below = command.commands.find((one) => one.name() === word);
      const options = new Set([
        ...optionsOf(command),
        ...(below === undefined ? [] : optionsOf(below)),
        "--help",
      ]);
      for (const [option] of rest!.matchAll(/(?<=\s)--[a-z][a-z-]*/g))
        if (!options.has(option)) wrong.push(`${place}: ${name} has no ${option}: ${all}`);
    }
  assert.deepEqual(wrong, []);
  assert.ok(count > 60, String(count));
});

/** Every key, and every section or group of some. */
const known = new Set(
  allKeyNames().flatMap((name) => name.split(".").map((_, i, parts) => parts.slice(0, i + 1).join("."))),
);
const sections = [...known].filter((name) => !name.includes("."));

/** Names that look like keys: sections have the names of our own things, too. */
const others =
  /^(?:comm\.(?:ts|md)|lr_scheduler\.step$|model\.gguf|model\.(?:safetensors|layers|embed|norm)|checkpoint\.ts|optimizer\.safetensors|eval\.ts)/;

test("every key that a text names is one", { timeout: 240_000 }, () => {
  const named = new RegExp(`(?<![\\w./"$-])(?:${sections.join("|")})(?:\\.[a-z_]+)+(?![\\w(]|\\.[a-z])`, "g");
  let count = 0;
  const wrong: string[] = [];
  for (const { text, place } of texts()) {
    // What is said of keys that aren't ours names them.
    if (place.startsWith("config/rules/support.ts") || place.startsWith("config/rules/other-tools.ts"))
      continue;
    for (const [key] of text.matchAll(named)) {
      if (others.test(key)) continue;
      count++;
      if (!known.has(key)) wrong.push(`${place}: ${key}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(count > 300, String(count));
});

const heldOut = { datasets: [{ path: "heldout.jsonl" }] };

/** What is wrong, what the message advises, and the overrides that follow it. */
const followed: readonly [ConfigInput, RegExp, readonly string[]][] = [
  [
    { processes: { procs: 8 }, parallelism: { data_parallel_shard_degree: 3 } },
    /set parallelism\.data_parallel_shard_degree to -1/,
    ["parallelism.data_parallel_shard_degree=-1"],
  ],
  [{ model: { hf_assets_path: "m", flavor: "8B" } }, /leave both out/, ["~model.flavor"]],
  [
    { training: { seq_len: 100 }, processes: { procs: 8 }, parallelism: { tensor_parallel_degree: 8 } },
    /the nearest is 104/,
    ["training.seq_len=104"],
  ],
  [
    { training: { steps: 100 }, lr_scheduler: { warmup_steps: 60, decay_ratio: 0.5 } },
    /set lr_scheduler\.decay_ratio to null/,
    ["lr_scheduler.decay_ratio=null"],
  ],
  [
    { training: { dataset: "a.jsonl", datasets: [{ path: "b.jsonl" }] } },
    /\(on the command line: ~training\.datasets\)/,
    ["~training.datasets"],
  ],
  [
    { training: { on_overlong: "split", packed: false } },
    /set it to true, or training\.on_overlong to truncate/,
    ["training.on_overlong=truncate"],
  ],
  [
    { training: { dataset: "rows.jsonl", stream: true, epochs: 3 } },
    /give training\.steps in its place/,
    ["~training.epochs", "training.steps=30"],
  ],
  [
    { eval: { eval_every_n_steps: 10 } },
    /add e\.g\. \{path: yahma\/alpaca-cleaned, split: "train\[95%:\]"\}/,
    ['eval.datasets=[{path: yahma/alpaca-cleaned, split: "train[95%:]"}]'],
  ],
  [
    { checkpoint: { keep_best: true }, eval: heldOut },
    /set it, e\.g\. to 100, beside eval\.datasets/,
    ["eval.eval_every_n_steps=100"],
  ],
  [{ checkpoint: { keep_latest_k: 1 } }, /use 2 or more, or 0 to keep all/, ["checkpoint.keep_latest_k=2"]],
  [
    { checkpoint: { export_dtype: "bfloat16", last_save_in_hf: false } },
    /set one of them to true/,
    ["checkpoint.last_save_in_hf=true"],
  ],
  [{ checkpoint: { load_step: 5, enable: false } }, /set it to true/, ["checkpoint.enable=true"]],
  [{ checkpoint: { load_step: 1000 } }, /raise training\.steps/, ["training.steps=2000"]],
  [
    { processes: { procs: 2 }, checkpoint: { create_seed_checkpoint: true } },
    /make the seed checkpoint in one process/,
    ["processes.procs=1"],
  ],
  [{ training: { enable_cpu_offload: true } }, /remove it/, ["~training.enable_cpu_offload"]],
  [{ training: { compile: true } }, /use false/, ["training.compile=false"]],
];

for (const [wrong, advice, overrides] of followed)
  test(`advice that helps: ${overrides.join(" ")}`, () => {
    const given = { model: { hf_assets_path: "m" }, ...wrong };
    assert.throws(() => Config.create(given), { name: "ConfigError", message: advice });
    Config.create(given, { overrides });
  });
