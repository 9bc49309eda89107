// What is exported, of every family, is what the newest Transformers loads: it refuses a number of the wrong type.
// Transformers is installed once with pip into torchforge's cache, without torch; the first run needs a package index.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { saveWeights } from "../../src/checkpoint/index.ts";
import { loadTokenizer } from "../../src/data/index.ts";
import { importGguf } from "../../src/gguf/index.ts";
import { families } from "../../src/models/families/index.ts";
import { ones, scope } from "../../src/torch/index.ts";
import { cacheDir } from "../../src/util/index.ts";

const version = "5.24.0";

/** The folder that `pip install --target` filled, complete or not there at all. */
function transformers(): string {
  const folder = join(cacheDir(), `transformers-${version}`);
  if (existsSync(folder)) return folder;
  const beside = `${folder}.${process.pid}.tmp`;
  python(
    ["-m", "pip", "install", "--quiet", "--no-compile", "--target", beside, `transformers==${version}`],
    {},
  );
  if (existsSync(folder)) rmSync(beside, { recursive: true });
  else renameSync(beside, folder);
  return folder;
}

function python(args: string[], env: Record<string, string>): string {
  const { status, stdout, stderr } = spawnSync(process.env["PYTHON"] ?? "python3", args, {
    encoding: "utf8",
    timeout: 600_000,
    env: { ...process.env, ...env },
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

const load = `
import json, sys
from transformers import AutoConfig, AutoTokenizer, GenerationConfig
out = []
for folder in sys.argv[1:]:
    config = AutoConfig.from_pretrained(folder)
    GenerationConfig.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    out.append([config.model_type, config.vocab_size, tokenizer("Hello, world! 12345  ok\\n")["input_ids"]])
print(json.dumps(out))
`;

void test("Transformers loads an export of every family, and imports of GGUF", { timeout: 900_000 }, () => {
  using _ = scope();
  const work = mkdtempSync(join(tmpdir(), "torchforge-transformers-"));
  try {
    // Transformers chooses the tokenizer's class by the model's type.
    const tokenizerOf = (modelType: string): Record<string, unknown> => {
      const name = modelType.startsWith("qwen") ? "qwen-style" : "llama3-style";
      const packed = readFileSync(join(import.meta.dirname, `../fixtures/data/${name}.json.gz`));
      return JSON.parse(gunzipSync(packed).toString()) as Record<string, unknown>;
    };
    const folders = families.map(({ modelType }) => {
      const source = join(work, `${modelType}-source`);
      const { tokenizer, config } = tokenizerOf(modelType);
      mkdirSync(source);
      const write = (name: string, text: string): void => writeFileSync(join(source, name), text);
      // As Python writes them: floats that are whole numbers.
      write(
        "config.json",
        `{"model_type": "${modelType}", "vocab_size": 1600, "hidden_size": 64, "intermediate_size": 96,
          "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
          "attention_dropout": 0.0, "initializer_range": 0.02, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
          "router_jitter_noise": 0.0, "router_aux_loss_coef": 0.0, "dtype": "bfloat16"}`,
      );
      write("generation_config.json", '{"temperature": 1.0, "top_p": 1.0, "do_sample": true}');
      write("tokenizer.json", JSON.stringify(tokenizer));
      write(
        "tokenizer_config.json",
        JSON.stringify({ ...(config as object), tokenizer_class: "TokenizersBackend" }),
      );
      const target = join(work, modelType);
      saveWeights(target, new Map([["model.norm.weight", ones([64])]]), { sourceFolder: source });
      return target;
    });
    const gguf = join(import.meta.dirname, "../gguf/fixtures");
    for (const name of ["llama3", "qwen2", "qwen3"]) {
      const target = join(work, `gguf-${name}`);
      importGguf(join(gguf, `${name}.gguf`), target);
      folders.push(target);
    }
    const said = JSON.parse(python(["-c", load, ...folders], { PYTHONPATH: transformers() })) as [
      string,
      number,
      number[],
    ][];
    assert.deepEqual(
      said.slice(0, families.length).map(([type, vocab]) => [type, vocab]),
      families.map(({ modelType }) => [modelType, 1600]),
    );
    for (const [i, folder] of folders.entries())
      assert.deepEqual(
        said[i]![2],
        loadTokenizer(folder).encode("Hello, world! 12345  ok\n", { addSpecialTokens: true }),
        folder,
      );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});
