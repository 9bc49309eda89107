// Weights of a Hugging Face folder into tensors and back: values bit for bit, conversions, parts of tensors, and what is
// said of files that don't fit.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openModelWeights, writeModelWeights, type TensorToWrite } from "../../safetensors/index.ts";
import {
  bfloat16,
  equal,
  float16,
  float32,
  float64,
  full,
  fromTypedArray,
  memoryStats,
  scope,
  zeros,
  type Tensor,
} from "../../torch/index.ts";
import { loadWeights } from "./load.ts";
import { saveWeights } from "./save.ts";

let work = "";
before(() => {
  work = mkdtempSync(join(tmpdir(), "torchforge-hf-weights-"));
});
after(() => rmSync(work, { recursive: true, force: true }));

function folder(): string {
  return mkdtempSync(join(work, "model-"));
}

/** Values that bfloat16 and float16 must round: k / 7. */
function sevenths(...shape: number[]): Float32Array {
  const count = shape.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length: count }, (_, i) => (i - count / 2) / 7);
}

function f32(name: string, ...shape: number[]): TensorToWrite {
  return { name, dtype: "F32", shape, data: () => new Uint8Array(sevenths(...shape).buffer) };
}

function like(...shape: number[]): Tensor {
  return fromTypedArray(sevenths(...shape), shape);
}

void test("tensors are filled with the file's values, whole, in place", () => {
  using _ = scope();
  const dir = folder();
  writeModelWeights(dir, [f32("a.weight", 3, 4), f32("b.weight", 5), f32("c", 2, 3, 4)], {
    maxShardBytes: 100,
  });
  const params = new Map([
    ["a.weight", zeros([3, 4]).requiresGrad_()],
    ["b.weight", zeros([5])],
    ["c", zeros([2, 3, 4])],
  ]);
  const storage = params.get("a.weight")!.storage.id;
  const report = loadWeights(dir, params);
  assert.deepEqual(report, {
    tensors: 3,
    bytes: 4 * (12 + 5 + 24),
    dtypes: ["F32"],
    ignored: [],
    note: undefined,
  });
  assert.ok(equal(params.get("a.weight")!, like(3, 4)));
  assert.ok(equal(params.get("b.weight")!, like(5)));
  assert.ok(equal(params.get("c")!, like(2, 3, 4)));
  assert.equal(params.get("a.weight")!.storage.id, storage);
  assert.ok(params.get("a.weight")!.isLeaf && params.get("a.weight")!.requiresGrad);
});

void test("dtypes are converted on the way as torch converts them", () => {
  using _ = scope();
  for (const stored of [float32, bfloat16, float16, float64]) {
    const dir = folder();
    saveWeights(dir, new Map([["a", like(7, 9)]]), { dtype: stored });
    for (const wanted of [float32, bfloat16, float16, float64]) {
      const into = zeros([7, 9], { dtype: wanted });
      loadWeights(dir, new Map([["a", into]]));
      assert.ok(equal(into, like(7, 9).to(stored).to(wanted)), `${stored.name} → ${wanted.name}`);
    }
  }
});

void test("a tensor larger than one piece arrives whole", () => {
  using _ = scope();
  const dir = folder();
  const big = like(2500, 2000); // 20 MB in pieces of 16 MiB
  saveWeights(dir, new Map([["a", big]]));
  const into = zeros([2500, 2000]);
  loadWeights(dir, new Map([["a", into]]));
  assert.ok(equal(into, big));
  const columns = zeros([2500, 3]);
  loadWeights(dir, new Map([["a", columns]]), {
    slices: new Map([["a", { dim: 1, start: 1990, length: 3 }]]),
  });
  assert.ok(equal(columns, big.narrow(1, 1990, 3)));
});

void test("a rank's part of a tensor, along either dimension, and strided tensors", () => {
  using _ = scope();
  const dir = folder();
  saveWeights(dir, new Map([["a", like(6, 4)]]));
  for (const [dim, start, length] of [
    [0, 2, 3],
    [0, 0, 6],
    [1, 1, 2],
    [1, 3, 1],
  ] as const) {
    const into = zeros(dim === 0 ? [length, 4] : [6, length]);
    const report = loadWeights(dir, new Map([["a", into]]), {
      slices: new Map([["a", { dim, start, length }]]),
    });
    assert.ok(equal(into, like(6, 4).narrow(dim, start, length)), `dim ${dim} from ${start}`);
    assert.equal(report.bytes, dim === 0 ? length * 16 : 96);
  }
  const rows = zeros([8, 4]);
  loadWeights(dir, new Map([["a", rows.narrow(0, 1, 6)]])); // a view that begins inside its memory
  assert.ok(equal(rows.narrow(0, 1, 6), like(6, 4)));
  assert.ok(equal(rows.index([7]), zeros([4])) && equal(rows.index([0]), zeros([4])));
  const strided = zeros([4, 6]).t();
  loadWeights(dir, new Map([["a", strided]]));
  assert.ok(equal(strided, like(6, 4)));
});

void test("scalars and empty tensors", () => {
  using _ = scope();
  const dir = folder();
  saveWeights(
    dir,
    new Map([
      ["s", full([], 2.5)],
      ["e", zeros([0, 4])],
    ]),
  );
  const scalar = zeros([]);
  loadWeights(
    dir,
    new Map([
      ["s", scalar],
      ["e", zeros([0, 4])],
    ]),
  );
  assert.equal(scalar.item(), 2.5);
});

void test("everything that doesn't fit is told at once, and nothing is loaded", () => {
  using _ = scope();
  const dir = folder();
  writeModelWeights(dir, [
    f32("a", 2, 2),
    f32("b", 3),
    f32("extra", 1),
    { name: "q", dtype: "I32", shape: [1], data: () => new Uint8Array(4) },
  ]);
  const a = zeros([2, 2]);
  const params = new Map([
    ["a", a],
    ["b", zeros([4])],
    ["absent", zeros([1])],
    ["q", zeros([1])],
  ]);
  assert.throws(() => loadWeights(dir, params), {
    name: "UserError",
    message: [
      `${dir}: its weights are not those of the model that config.json describes.`,
      "  1 missing from the files:",
      "    absent",
      "  1 in the files but not in the model:",
      "    extra",
      "  2 do not fit:",
      "    b: expected [4], found [3]",
      "    q: expected a floating dtype, found I32",
    ].join("\n"),
  });
  assert.ok(equal(a, zeros([2, 2])));
});

void test("long lists are cut", () => {
  using _ = scope();
  const dir = folder();
  writeModelWeights(dir, [f32("a", 1)]);
  const params = new Map(Array.from({ length: 20 }, (_, i) => [`layer.${i}`, zeros([1])] as const));
  assert.throws(() => loadWeights(dir, params), {
    message: /20 missing from the files:(\n {4}layer\.\d){8}\n {4}and 12 more/,
  });
});

void test("tied embeddings and computed buffers are passed over, knowingly", () => {
  using _ = scope();
  const dir = folder();
  const tied = new Map([["lm_head.weight", "model.embed_tokens.weight"]]);
  writeModelWeights(dir, [
    f32("model.embed_tokens.weight", 4, 2),
    f32("model.layers.0.self_attn.rotary_emb.inv_freq", 2),
  ]);
  const embedding = zeros([4, 2]);
  const both = new Map([
    ["model.embed_tokens.weight", embedding],
    ["lm_head.weight", embedding],
  ]);
  assert.deepEqual(loadWeights(dir, both, { tied }).ignored, [
    "model.layers.0.self_attn.rotary_emb.inv_freq",
  ]);
  assert.ok(equal(embedding, like(4, 2)));
  assert.throws(() => loadWeights(dir, both), { message: /1 missing from the files:\n {4}lm_head\.weight/ });

  // A file that has the tied weight as well.
  const twice = folder();
  writeModelWeights(twice, [f32("model.embed_tokens.weight", 4, 2), f32("lm_head.weight", 4, 2)]);
  const one = new Map([["model.embed_tokens.weight", zeros([4, 2])]]);
  const report = loadWeights(twice, one, { tied });
  assert.deepEqual([report.ignored, report.note], [["lm_head.weight"], undefined]);
  assert.throws(() => loadWeights(twice, one), {
    message: /1 in the files but not in the model:\n {4}lm_head\.weight/,
  });
});

void test("a head of its own beside tied embeddings is told", () => {
  using _ = scope();
  const dir = folder();
  const head = f32("lm_head.weight", 4, 2);
  writeModelWeights(dir, [
    f32("model.embed_tokens.weight", 4, 2),
    { ...head, data: () => new Uint8Array(Float32Array.from({ length: 8 }, (_, i) => 9 - i).buffer) },
  ]);
  const tied = new Map([["lm_head.weight", "model.embed_tokens.weight"]]);
  const params = new Map([["model.embed_tokens.weight", zeros([4, 2])]]);
  assert.equal(
    loadWeights(dir, params, { tied }).note,
    `${dir}: lm_head.weight differs from model.embed_tokens.weight and is not used, because config.json has ` +
      "tie_word_embeddings: true. Set it to false there if the model has a head of its own",
  );
  // A rank that holds other rows leaves it to the one that holds the first.
  const slices = new Map([["model.embed_tokens.weight", { dim: 0, start: 2, length: 2 }]]);
  const part = new Map([["model.embed_tokens.weight", zeros([2, 2])]]);
  assert.equal(loadWeights(dir, part, { tied, slices }).note, undefined);
});

void test("a truncated file and a quantized model are named", () => {
  using _ = scope();
  const dir = folder();
  writeModelWeights(dir, [f32("a", 10)]);
  const path = join(dir, "model.safetensors");
  const whole = readFileSync(path);
  writeFileSync(path, whole.subarray(0, whole.length - 4));
  assert.throws(() => loadWeights(dir, new Map([["a", zeros([10])]])), {
    name: "UserError",
    message: /model\.safetensors: not a complete safetensors file: truncated/,
  });
  writeFileSync(path, whole);
  writeFileSync(join(dir, "config.json"), '{"quantization_config":{"quant_method":"gptq"}}');
  assert.throws(() => loadWeights(dir, new Map([["a", zeros([10])]])), {
    name: "UserError",
    message: `${dir}: expected weights in a floating dtype, or in nf4 by bitsandbytes, found a model quantized by gptq. Use the model that it was made from.`,
  });
});

void test("progress ends at the whole", () => {
  using _ = scope();
  const dir = folder();
  const seen: Array<[number, number]> = [];
  const params = new Map([
    ["a", like(3)],
    ["b", like(2, 2)],
  ]);
  saveWeights(dir, params, { onProgress: (...now) => seen.push(now) });
  loadWeights(dir, params, { onProgress: (...now) => seen.push(now) });
  assert.deepEqual(seen, [
    [12, 28],
    [28, 28],
    [12, 28],
    [28, 28],
  ]);
});

void test("a saved folder has config and tokenizer of its source, with the dtype of the weights", () => {
  using _ = scope();
  const source = folder();
  writeFileSync(join(source, "config.json"), '{"model_type":"llama","torch_dtype":"float32","vocab_size":4}');
  for (const name of [
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
  ]) {
    writeFileSync(join(source, name), name);
  }
  writeFileSync(join(source, "README.md"), "not copied");
  const target = join(folder(), "deeper", "out");
  const report = saveWeights(target, new Map([["a", like(4, 3)]]), {
    dtype: bfloat16,
    sourceFolder: source,
    config: { vocab_size: 5 },
  });
  assert.deepEqual([...report.files].sort(), [
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  assert.equal(report.bytes, 24);
  assert.deepEqual(JSON.parse(readFileSync(join(target, "config.json"), "utf8")), {
    model_type: "llama",
    torch_dtype: "bfloat16",
    vocab_size: 5,
  });
  assert.equal(readFileSync(join(target, "chat_template.jinja"), "utf8"), "chat_template.jinja");
  using weights = openModelWeights(target);
  assert.equal(weights.info("a").dtype, "BF16");
  writeFileSync(join(source, "config.json"), '{"dtype":"float32","router_jitter_noise":0.0,"eps":1e-05}');
  saveWeights(target, new Map([["a", like(4, 3)]]), { dtype: bfloat16, sourceFolder: source });
  assert.equal(
    readFileSync(join(target, "config.json"), "utf8"),
    '{\n  "dtype": "bfloat16",\n  "router_jitter_noise": 0.0,\n  "eps": 1e-05\n}\n',
  );
  writeFileSync(join(source, "config.json"), '{"dtype":"float32"}');
  saveWeights(target, new Map([["a", like(4, 3)]]), { dtype: bfloat16, sourceFolder: source });
  assert.deepEqual(JSON.parse(readFileSync(join(target, "config.json"), "utf8")), { dtype: "bfloat16" });
});

void test("a saved folder has every chat template of its source, and the one that the model was trained with", () => {
  using _ = scope();
  const source = folder();
  mkdirSync(join(source, "additional_chat_templates"));
  writeFileSync(join(source, "chat_template.jinja"), "own");
  writeFileSync(join(source, "additional_chat_templates/rag.jinja"), "rag");
  const target = folder();
  const weights = new Map([["a", like(4, 3)]]);
  const text = (name: string): string => readFileSync(join(target, name), "utf8");
  saveWeights(target, weights, { sourceFolder: source });
  assert.deepEqual(
    [text("chat_template.jinja"), text("additional_chat_templates/rag.jinja")],
    ["own", "rag"],
  );
  const { files } = saveWeights(target, weights, { sourceFolder: source, chatTemplate: "given" });
  assert.equal(text("chat_template.jinja"), "given");
  assert.equal(files.filter((name) => name === "chat_template.jinja").length, 1);
});

void test("tensors that share memory are saved once; views of it are not taken for it", () => {
  using _ = scope();
  const dir = folder();
  const embedding = like(4, 4);
  saveWeights(
    dir,
    new Map([
      ["model.embed_tokens.weight", embedding],
      ["lm_head.weight", embedding],
      ["transposed", embedding.t()],
      ["part", embedding.narrow(0, 1, 2)],
    ]),
  );
  using weights = openModelWeights(dir);
  assert.deepEqual([...weights.names].sort(), ["model.embed_tokens.weight", "part", "transposed"]);
  const transposed = zeros([4, 4]);
  loadWeights(
    dir,
    new Map([
      ["model.embed_tokens.weight", zeros([4, 4])],
      ["part", zeros([2, 4])],
      ["transposed", transposed],
    ]),
  );
  assert.ok(equal(transposed, like(4, 4).t()));
});

void test("loading and saving leave no tensor behind", () => {
  using _ = scope();
  const dir = join(folder(), "leaks");
  mkdirSync(dir);
  const params = new Map([
    ["a", like(30, 40).requiresGrad_()],
    ["b", like(4, 6).t()],
  ]);
  saveWeights(dir, params);
  const alive = memoryStats().liveTensors;
  saveWeights(dir, params, { dtype: bfloat16 });
  loadWeights(dir, params);
  assert.equal(memoryStats().liveTensors, alive);
});
