import assert from "node:assert/strict";
import { test } from "node:test";

import { tensorType, type GgufFileType } from "./types.ts";

const dense = { numLayers: 16, numExperts: 1, isGrouped: true, isTied: false };

// Which layers of 16 get more bits: the first and the last two, and every third from the fifth on.
const more = [0, 1, 4, 7, 10, 13, 14, 15];

test("Q4_K_M and Q5_K_M give values and down projections of some layers six bits", () => {
  for (const [file, base] of [
    ["Q4_K_M", "Q4_K"],
    ["Q5_K_M", "Q5_K"],
  ] as const) {
    for (let layer = 0; layer < 16; layer++) {
      const expected = more.includes(layer) ? "Q6_K" : base;
      for (const part of ["attn_v", "ffn_down"])
        assert.equal(tensorType(file, `blk.${layer}.${part}.weight`, [256, 512], dense), expected);
      for (const part of ["attn_q", "attn_k", "attn_output", "ffn_up", "ffn_gate"])
        assert.equal(tensorType(file, `blk.${layer}.${part}.weight`, [256, 512], dense), base);
    }
  }
});

test("norms, biases and routers stay in float32; the head has six bits, or eight", () => {
  const typeOf = (file: GgufFileType, name: string, shape = [512, 256], model = dense): string =>
    tensorType(file, name, shape, model);
  assert.equal(typeOf("Q4_0", "blk.0.attn_norm.weight", [256]), "F32");
  assert.equal(typeOf("F16", "blk.0.attn_q.bias", [256]), "F32");
  assert.equal(typeOf("BF16", "blk.0.ffn_gate_inp.weight", [8, 256]), "F32");
  assert.equal(typeOf("BF16", "blk.0.attn_q.weight"), "BF16");
  assert.equal(typeOf("Q4_0", "output.weight"), "Q6_K");
  assert.equal(typeOf("Q8_0", "output.weight"), "Q8_0");
  assert.equal(typeOf("Q4_K_M", "token_embd.weight"), "Q4_K");
  assert.equal(typeOf("Q4_K_M", "token_embd.weight", [512, 256], { ...dense, isTied: true }), "Q6_K");
});

test("rows that 256 doesn't divide get the type of 32, those that 32 doesn't float16", () => {
  const name = "blk.3.ffn_up.weight";
  assert.equal(tensorType("Q4_K_M", name, [64, 576], dense), "Q5_0");
  assert.equal(tensorType("Q5_K_M", name, [64, 576], dense), "Q5_1");
  assert.equal(tensorType("Q6_K", name, [64, 576], dense), "Q8_0");
  assert.equal(tensorType("Q8_0", name, [64, 48], dense), "F16");
  // The head asks whether its own type fits before it becomes six bits.
  assert.equal(tensorType("Q4_K_M", "output.weight", [64, 576], dense), "Q8_0");
  assert.equal(tensorType("Q4_0", "output.weight", [64, 576], dense), "Q8_0");
});

test("models of eight experts keep their attention in more bits, one of 80 layers its values", () => {
  const experts = { ...dense, numExperts: 8 };
  assert.equal(tensorType("Q4_K_M", "blk.3.attn_v.weight", [256, 256], experts), "Q8_0");
  assert.equal(tensorType("Q4_K_M", "blk.3.attn_k.weight", [256, 256], experts), "Q8_0");
  assert.equal(tensorType("Q4_K_M", "blk.3.attn_output.weight", [256, 256], experts), "Q5_K");
  const large = { ...dense, numLayers: 80 };
  assert.equal(tensorType("Q4_K_M", "blk.11.attn_v.weight", [256, 256], large), "Q5_K");
});
