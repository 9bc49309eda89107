// What we write, in llama.cpp itself: every type loads, text becomes the same ids, and F16 answers as the model does here.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { loadWeights } from "../../src/checkpoint/index.ts";
import { loadTokenizer } from "../../src/data/index.ts";
import { exportGguf, ggufFileTypes, type GgufFileType } from "../../src/export/index.ts";
import { importGguf } from "../../src/gguf/index.ts";
import { blockSpecs, Decoder, generate, readModelConfig } from "../../src/models/index.ts";
import { tiedNames } from "../../src/nn/index.ts";
import { scope } from "../../src/torch/index.ts";
import { cacheDir } from "../../src/util/index.ts";
import { environment, run } from "../programs.ts";

const version = "3.22.1";

/** node-llama-cpp with its build for Linux; kept in the cache. */
function nodeLlamaCpp(): string {
  const folder = join(cacheDir(), `node-llama-cpp-${version}`);
  if (!existsSync(folder)) {
    const beside = `${folder}.${process.pid}`;
    mkdirSync(beside, { recursive: true });
    const flags = [
      "--no-save",
      "--ignore-scripts",
      "--omit=optional",
      "--omit=peer",
      "--no-audit",
      "--no-fund",
    ];
    const packages = ["node-llama-cpp", "@node-llama-cpp/linux-x64"].map((name) => `${name}@${version}`);
    run("npm", ["install", ...flags, "--prefix", beside, ...packages], { cwd: beside, timeoutMs: 300_000 });
    rmSync(folder, { recursive: true, force: true });
    renameSync(beside, folder);
  }
  return join(folder, "node_modules");
}

interface Answers {
  readonly file: string;
  readonly found: readonly { readonly ids: readonly number[]; readonly tokens: readonly number[] }[];
}

function inLlamaCpp(files: readonly { file: string; prompts: readonly string[] }[]): Answers[] {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, "llama-cpp.mjs"), nodeLlamaCpp()],
    { input: JSON.stringify(files), encoding: "utf8", env: environment, timeout: 200_000 },
  );
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Answers[];
}

const work = mkdtempSync(join(tmpdir(), "torchforge-llama-cpp-"));
after(() => rmSync(work, { recursive: true }));

const prompts = [
  "Hello, it's 1234 o'clock\n  and żółw",
  "def mean(values):\n    return 3.14",
  "The dog. ",
  "¿Qué? 日本 🐢",
];

test("text becomes the same ids in F16 of every family and tokenizer, and 20 prompts are answered as here", async () => {
  const names = ["llama3", "llama-bias", "llama-spm", "qwen2", "qwen3"];
  const expected: Answers[] = [];
  for (const name of names) {
    using _ = scope();
    const folder = join(work, name);
    importGguf(join(import.meta.dirname, "fixtures", `${name}.gguf`), folder);
    const { files } = await exportGguf(folder, { types: ["F16"], outputFolder: join(work, "out") });
    const config = readModelConfig(folder);
    const model = new Decoder(config);
    loadWeights(folder, model.parameters, { tied: tiedNames(blockSpecs(config)) });
    const tokenizer = loadTokenizer(folder);
    const ids = prompts.map((prompt) => tokenizer.encode(prompt));
    const tokens = generate(model, ids, { maxNewTokens: 8 });
    const found = ids.map((one, i) => ({ ids: one, tokens: tokens[i]! }));
    expected.push({ file: files[0]!.file, found });
  }
  const answers = inLlamaCpp(expected.map(({ file }) => ({ file, prompts })));
  const each = (all: readonly Answers[]): Answers["found"] => all.flatMap(({ found }) => found);
  const [theirs, ours] = [each(answers), each(expected)];
  assert.deepEqual(
    theirs.map(({ ids }) => ids),
    ours.map(({ ids }) => ids),
  );
  assert.deepEqual(
    theirs.map(({ tokens }) => tokens[0]),
    ours.map(({ tokens }) => tokens[0]),
  );
  // Weights and llama.cpp's cache of keys and values are rounded to float16, and where two random logits are nearly the same one
  // answer takes another way.
  const same = theirs.filter(({ tokens }, i) => String(tokens) === String(ours[i]!.tokens));
  assert.ok(same.length >= 17, `${same.length} of ${ours.length} answers are the same`);
});

test("every type loads and answers", async () => {
  const types = Object.keys(ggufFileTypes) as GgufFileType[];
  const { files } = await exportGguf(join(work, "qwen3"), { types, outputFolder: join(work, "types") });
  const answers = inLlamaCpp(files.map(({ file }) => ({ file, prompts: prompts.slice(0, 1) })));
  assert.deepEqual(
    answers.map(({ found }) => found[0]!.tokens.length),
    types.map(() => 8),
  );
});
