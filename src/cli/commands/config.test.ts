// `forge config`, as a process: output, exit codes, and how fast a wrong configuration is refused.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { test } from "node:test";

const root = resolve(import.meta.dirname, "../../..");

function forge(...args: string[]) {
  return run([], args);
}

function run(nodeArgs: string[], args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...nodeArgs, "src/cli/main.ts", "config", ...args],
    { cwd: root, encoding: "utf8", timeout: 60_000, env: { ...process.env, NO_COLOR: "1" } },
  );
  return { status, stdout, stderr };
}

test("print shows the whole configuration with its changes marked", () => {
  const { status, stdout, stderr } = forge(
    "print",
    "--config",
    "recipes/smollm2_135m.yaml",
    "optimizer.lr=3e-5",
  );
  assert.equal(stderr, "");
  assert.equal(status, 0);
  assert.match(stdout, /^ {2}lr: 3e-5 # default: 1e-5$/m);
  assert.match(stdout, /^ {2}max_norm: 1$/m);
});

test("print says what is not supported yet, and prints all the same", () => {
  const override = "training.compile=true";
  const { status, stdout, stderr } = forge(
    "print",
    "--config",
    "recipes/llama3_8b.yaml",
    "--changes",
    override,
  );
  assert.equal(status, 0);
  assert.match(stderr, /^warning: training\.compile: true is not supported yet/);
  assert.match(stdout, /^ {2}flavor: 8B # default: null$/m);
  assert.doesNotMatch(stdout, /gc_freq/);
});

test("an invalid configuration ends with 2 and all problems, within a second", () => {
  // Processor time, because the wall clock measures the machine's other work too.
  const meter = `data:text/javascript,process.on("exit",()=>{const{user,system}=process.cpuUsage();console.error("ms "+(user+system)/1000)})`;
  const { status, stdout, stderr } = run(
    ["--import", meter],
    ["print", "--config", "recipes/resume.yaml", "training.stepz=3", "training.seq_len=x"],
  );
  assert.equal(status, 2);
  assert.equal(stdout, "");
  const [message, ms] = stderr.split("\nms ");
  assert.equal(
    message,
    [
      "error: 2 problems in the configuration:",
      "  - override: training.stepz is not a key; did you mean training.steps?",
      '  - override: training.seq_len: expected a whole number of at least 1, found "x"',
    ].join("\n"),
  );
  assert.ok(Number(ms) < 1000, `took ${ms} ms`);
});

test("explain shows a key, and ends with 2 for an unknown one", () => {
  assert.match(forge("explain", "training.max_norm").stdout, /^training\.max_norm\n[^]*default {2}1\n/);
  assert.match(forge("explain").stdout, /^job +Where a run keeps its files/);
  const unknown = forge("explain", "training.maxnorm");
  assert.equal(unknown.status, 2);
  assert.equal(unknown.stderr, "error: training.maxnorm is not a key; did you mean training.max_norm?\n");
});

test("schema prints the JSON Schema, presets the scenarios", () => {
  const schema = JSON.parse(forge("schema").stdout) as { properties: object };
  assert.ok("training" in schema.properties);
  assert.match(forge("presets").stdout, /^presets\.quickTest +recipes\/quick_test\.yaml +100 short steps/);
});
