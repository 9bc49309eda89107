// Imports of tiny models of each family against what went into them (test/gguf/make_fixtures.py). Their tokenizers:
// test/gguf/token-ids.test.ts.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openModelWeights } from "../safetensors/index.ts";
import { importGguf, toBfloat16 } from "./convert.ts";
import { shortestFloat32 } from "./architecture.ts";

interface Expected {
  readonly models: Record<string, { tensors: Record<string, { shape: number[]; sha256: string }> }>;
}

const fixtures = join(import.meta.dirname, "..", "..", "test", "gguf", "fixtures");
const expected = JSON.parse(readFileSync(join(fixtures, "expected.json"), "utf8")) as Expected;
let work = "";
before(() => {
  work = mkdtempSync(join(tmpdir(), "torchforge-gguf-"));
});
after(() => rmSync(work, { recursive: true, force: true }));

function json(folder: string, name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, name), "utf8")) as Record<string, unknown>;
}

for (const [name, model] of Object.entries(expected.models)) {
  void test(`${name}: every tensor under its Hugging Face name, q and k rows back in order`, () => {
    const folder = join(work, name);
    importGguf(join(fixtures, `${name}.gguf`), folder);
    using weights = openModelWeights(folder);
    assert.deepEqual([...weights.names].sort(), Object.keys(model.tensors).sort());
    for (const [tensor, { shape, sha256 }] of Object.entries(model.tensors)) {
      assert.deepEqual(weights.info(tensor).shape, shape, tensor);
      assert.equal(createHash("sha256").update(weights.read(tensor)).digest("hex"), sha256, tensor);
    }
  });
}

function config(name: string): Record<string, unknown> {
  const folder = join(work, `${name}-config`);
  importGguf(join(fixtures, `${name}.gguf`), folder);
  return json(folder, "config.json");
}

void test("config.json says what the metadata says", () => {
  const llama3 = config("llama3");
  assert.deepEqual(llama3["rope_scaling"], {
    rope_type: "llama3",
    factor: 32,
    high_freq_factor: 4,
    low_freq_factor: 1,
    original_max_position_embeddings: 8192,
  });
  assert.equal(llama3["tie_word_embeddings"], false);
  assert.equal(llama3["head_dim"], 64);
  assert.equal(llama3["rope_theta"], 500000);
  assert.equal(llama3["rms_norm_eps"], 1e-6);

  const qwen2 = config("qwen2");
  assert.deepEqual(qwen2["architectures"], ["Qwen2ForCausalLM"]);
  assert.equal(qwen2["tie_word_embeddings"], true);
  assert.equal(qwen2["num_key_value_heads"], 2);
  assert.equal(qwen2["rope_scaling"], null);
  const qwen3 = config("qwen3");
  assert.equal(qwen3["model_type"], "qwen3");
  assert.equal(qwen3["head_dim"], 16);
  assert.equal(config("llama-bias")["attention_bias"], true);
});

void test("padding tokens of the vocabulary are left out, the embedding's rows stay", () => {
  const folder = join(work, "padded");
  importGguf(join(fixtures, "qwen2.gguf"), folder);
  const model = json(folder, "tokenizer.json")["model"] as { vocab: Record<string, number> };
  assert.equal(Object.keys(model.vocab).filter((token) => token.startsWith("[PAD")).length, 0);
  assert.equal(json(folder, "config.json")["vocab_size"], Object.keys(model.vocab).length + 4);
});

void test("the chat template and the special tokens come along", () => {
  const folder = join(work, "template");
  importGguf(join(fixtures, "qwen2.gguf"), folder);
  assert.match(String(json(folder, "tokenizer_config.json")["chat_template"]), /^\{% for m in messages %\}/);
  assert.deepEqual(json(folder, "special_tokens_map.json"), {
    eos_token: "<|im_end|>",
    pad_token: "<|endoftext|>",
  });
});

void test("bfloat16 rounds to nearest, ties to even", () => {
  const values = new Float32Array([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -2.71, Infinity, NaN, 3.4e38]);
  const words = new Uint16Array(toBfloat16(values).buffer);
  assert.deepEqual([...words], [0x3f80, 0x3f80, 0x3f82, 0xc02d, 0x7f80, 0x7fc0, 0x7f80]);
});

void test("--dtype bfloat16 halves the weights and says so", () => {
  const folder = join(work, "bf16");
  importGguf(join(fixtures, "qwen2.gguf"), folder, { dtype: "bfloat16" });
  using weights = openModelWeights(folder);
  assert.ok(weights.names.every((name) => weights.info(name).dtype === "BF16"));
  assert.equal(json(folder, "config.json")["torch_dtype"], "bfloat16");
});

void test("a folder with files in it is not touched", () => {
  const folder = mkdtempSync(join(work, "full-"));
  writeFileSync(join(folder, "config.json"), "{}");
  assert.throws(() => importGguf(join(fixtures, "qwen2.gguf"), folder), {
    name: "UserError",
    message: `${folder}: expected a new or empty folder to import into, found files in it. Give another --output-dir.`,
  });
  assert.deepEqual(readdirSync(folder), ["config.json"]);
});

/** The fixture with one text in it replaced by another of the same length. */
function altered(name: string, from: string, to: string): string {
  const bytes = readFileSync(join(fixtures, `${name}.gguf`));
  const at = bytes.indexOf(from, 0, "latin1");
  assert.ok(at >= 0 && from.length === to.length);
  bytes.write(to, at, "latin1");
  const path = join(work, `altered-${to}.gguf`);
  writeFileSync(path, bytes);
  return path;
}

void test("what isn't known is refused by name, and leaves nothing behind", () => {
  const folder = join(work, "never");
  const cases: Array<[string, RegExp]> = [
    [
      altered("qwen2", "qwen2", "gemma"),
      /expected general\.architecture to be one of llama, qwen2, qwen3, found gemma/,
    ],
    [altered("qwen3", "gpt-2", "weird"), /expected tokenizer\.ggml\.pre to be .*, found weird/],
    [
      altered("qwen2", "blk.0.attn_q.weight", "blk.0.attn_z.weight"),
      /tensor blk\.0\.attn_z\.weight has no place/,
    ],
  ];
  for (const [path, message] of cases) {
    assert.throws(() => importGguf(path, folder), { name: "UserError", message });
    assert.ok(!existsSync(folder));
  }
  assert.deepEqual(
    readdirSync(work).filter((name) => name.includes(".partial")),
    [],
  );
});

void test("a truncated, foreign or future file is named with its fault", () => {
  const whole = readFileSync(join(fixtures, "qwen2.gguf"));
  const path = join(work, "broken.gguf");
  const fails = (bytes: Uint8Array, message: RegExp): void => {
    writeFileSync(path, bytes);
    assert.throws(() => importGguf(path, join(work, "broken")), { name: "UserError", message });
  };
  fails(whole.subarray(0, whole.length - 100), /truncated: tensor \S+ ends at byte \d+, the file at \d+/);
  fails(whole.subarray(0, 3000), /not a complete GGUF file: it ends inside its header/);
  fails(whole.subarray(0, 10), /expected at least 24 bytes, found 10/);
  fails(Buffer.from("PK\x03\x04".padEnd(64)), /expected a GGUF file/);
  const future = Buffer.from(whole);
  future.writeUInt32LE(4, 4);
  fails(future, /expected GGUF version 2 or 3 \(little-endian\), found version 4/);
  const big = Buffer.from(whole);
  big.writeUInt32BE(3, 4);
  fails(big, /found a big-endian file/);
  const absurd = Buffer.from(whole);
  absurd.writeBigUInt64LE(1n << 60n, 8);
  fails(absurd, /the number of tensors is 1152921504606846976/);
  const renamed = (from: string, to: string): Buffer => {
    const bytes = Buffer.from(whole);
    bytes.write(to, bytes.indexOf(from));
    return bytes;
  };
  fails(
    renamed("blk.0.attn_q.weight", "blk.0.attn_k.weight"),
    /not a complete GGUF file: it has two tensors named blk\.0\.attn_k\.weight/,
  );
  fails(
    renamed("qwen2.block_count", "general.alignment"),
    /general\.alignment is \d+, expected a multiple of 8/,
  );
  assert.throws(() => importGguf(join(work, "absent.gguf"), join(work, "broken")), {
    name: "UserError",
    message: /absent\.gguf: cannot be read/,
  });
});

void test("version 2 is read as version 3 is", () => {
  const path = join(work, "v2.gguf");
  copyFileSync(join(fixtures, "qwen2.gguf"), path);
  const bytes = readFileSync(path);
  bytes.writeUInt32LE(2, 4);
  writeFileSync(path, bytes);
  assert.equal(importGguf(path, join(work, "v2")).modelType, "qwen2");
});

void test("float32 numbers are written as short as they can be", () => {
  assert.equal(shortestFloat32(Math.fround(1e-5)), 1e-5);
  assert.equal(shortestFloat32(500000), 500000);
  assert.equal(shortestFloat32(Math.fround(0.1)), 0.1);
});
