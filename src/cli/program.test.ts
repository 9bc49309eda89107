import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { commands } from "./commands.ts";

const main = join(import.meta.dirname, "main.ts");
const timeout = 60_000;

function forge(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, NO_COLOR: "1" };
  return spawnSync(process.execPath, [main, ...args], { encoding: "utf8", env, timeout });
}

test("without arguments, and with --help, it lists every command", { timeout }, () => {
  for (const args of [[], ["--help"]]) {
    const { status, stdout } = forge(...args);
    assert.equal(status, 0, args.join(" "));
    for (const { name, summary } of commands) {
      assert.ok(stdout.includes(`  ${name} `), name);
      assert.ok(stdout.replaceAll(/\s+/g, " ").includes(summary), summary);
    }
  }
});

test("every command's help has an example", { timeout }, async () => {
  for (const { name, load } of commands) {
    let help = "";
    (await load())
      .command()
      .configureOutput({ writeOut: (text) => (help += text) })
      .outputHelp();
    assert.match(help, /Examples?:\n/, name);
    assert.match(help, new RegExp(`npx torchforge ${name}\\b`), name);
  }
});

test("what is wrong with the arguments ends with 2 and suggests", { timeout }, () => {
  const unknown = forge("stup");
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /error: unknown command 'stup'\n\(Did you mean setup\?\)/);
  const option = forge("doctor", "--jsn");
  assert.equal(option.status, 2);
  assert.match(option.stderr, /error: unknown option '--jsn'\n\(Did you mean --json\?\)/);
});

test("names of other tools, and keys written as options, get the right form", { timeout }, () => {
  const cases: [args: string[], said: string][] = [
    [["train"], "there is no command train; did you mean sft?"],
    [["infer"], "there is no command infer; did you mean generate?"],
    [["sft", "--training.steps", "7"], "--training.steps: keys are written without dashes: training.steps=7"],
    [["sft", "--training.steps=7"], "--training.steps: keys are written without dashes: training.steps=7"],
    [
      ["sft", "--learning-rate", "1e-4"],
      "--learning-rate is no option; did you mean the key optimizer.lr=1e-4?",
    ],
    [
      ["plan", "--max_seq_length"],
      "--max_seq_length is no option; did you mean the key training.seq_len=VALUE?",
    ],
  ];
  for (const [args, said] of cases) {
    const { status, stderr } = forge(...args);
    assert.equal(status, 2);
    assert.equal(stderr, `error: ${said}\n(add --help for the options)\n`);
  }
});

test("completion: commands, recipes, and the keys of a command that takes them", { timeout }, () => {
  const script = forge("completion", "bash");
  assert.equal(script.status, 0, script.stderr);
  const cwd = mkdtempSync(join(tmpdir(), "torchforge-completion-"));
  const completed = (...words: string[]) => {
    const ask = `COMP_WORDS=(${words.map((word) => `"${word}"`).join(" ")}); COMP_CWORD=${words.length - 1}; _forge; echo "\${COMPREPLY[@]}"`;
    const program = `${script.stdout}\n${ask}`;
    const { stdout, stderr } = spawnSync("bash", ["-c", program], { encoding: "utf8", cwd, timeout });
    assert.equal(stderr, "");
    return stdout.trim();
  };
  assert.equal(completed("forge", "qui"), "quickstart");
  assert.equal(completed("forge", "sft", "training.seq"), "training.seq_len=");
  assert.equal(completed("forge", "sft", "--config", "smol"), "smollm2_135m smollm2_lora_laptop");
  assert.equal(completed("forge", "eval", "--max-b"), "--max-batches");
  assert.equal(completed("forge", "data", "pre"), "preview");
  // Names of files are left to the shell, and nothing in them is run.
  const files = ["s$(touch RUN)", "s`touch RUN`"];
  for (const file of files) writeFileSync(join(cwd, file), "");
  assert.equal(completed("forge", "sft", "--config", "s"), "smollm2_135m smollm2_lora_laptop");
  assert.equal(completed("forge", "sft", "--config", "s$"), "");
  assert.deepEqual(readdirSync(cwd).toSorted(), files.toSorted());
  rmSync(cwd, { recursive: true });
});

test("completion for fish: a line for each word, and nothing that the shell would run", { timeout }, () => {
  const { status, stdout, stderr } = forge("completion", "fish");
  assert.equal(status, 0, stderr);
  const lines = stdout.trim().split("\n");
  for (const line of [
    "complete -c forge -n __fish_use_subcommand -f -a sft -d 'fine-tune a model on instruction data'",
    "complete -c torchforge -n '__fish_seen_subcommand_from eval' -l max-batches",
  ])
    assert.ok(lines.includes(line), line);
  assert.match(stdout, /-n '__fish_seen_subcommand_from sft' -l config -r -a '[^']*smollm2_135m/);
  assert.match(stdout, /-n '__fish_seen_subcommand_from sft' -a '[^']*training\.seq_len=/);
  // Words and quoted texts alone.
  for (const line of lines)
    assert.match(
      line,
      /^complete -c (?:forge|torchforge)(?: -[ndla]| -[fr]| [\w-]+| '(?:[^'\\]|\\['\\])*')+$/,
    );
});

test("a user's mistake is its message alone, with its exit code", { timeout }, () => {
  const { status, stderr, stdout } = forge("setup", "--libtorch", "/no/such/folder");
  assert.equal(status, 2);
  assert.equal(stdout, "");
  assert.match(
    stderr,
    /^error: TORCHFORGE_LIBTORCH: expected a libtorch or torch folder, found nothing at .*\n$/,
  );
});

test("a reader that stops early is no error", { timeout }, () => {
  const program = '"$0" "$1" --help | head -n 1; echo "$?"';
  const run = spawnSync("sh", ["-c", program, process.execPath, main], { encoding: "utf8", timeout });
  assert.equal(run.stdout, "Usage: forge <command> [options]\n0\n");
  assert.equal(run.stderr, "");
});
