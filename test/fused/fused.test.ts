// Every fused operator against PyTorch's values, forward and backward, in float32 and bfloat16: odd shapes, no rows,
// strided inputs, all labels ignored. The stored values are float64 results (make_fixtures.py beside this file), so the
// tolerance is the operator's own rounding.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import { openSafetensors } from "../../src/safetensors/index.ts";
import * as torch from "../../src/torch/index.ts";
import type { Tensor } from "../../src/torch/index.ts";
import { assertClose } from "../assert-close.ts";

// How an operator is shared out among threads is tested, too; the tests of processes have one each.
torch.setNumThreads(2);

const { fused } = torch;

interface Case {
  op: "rmsNorm" | "addRmsNorm" | "swiglu" | "swigluJoined" | "rotaryEmbedding" | "linearCrossEntropy";
  dtype: string;
  inputs: string[];
  fixed: string[];
  outputs: number;
  params: { eps?: number; chunkSize?: number; scale?: number };
  layout: "contiguous" | "transposed" | "sliced";
}
interface Index {
  cases: Case[];
  adamw: { params: number; steps: number; norms: number[] };
}

const index = JSON.parse(readFileSync(join(import.meta.dirname, "fused.json"), "utf8")) as Index;
const file = openSafetensors(join(import.meta.dirname, "fused.safetensors"));

const dtypes: Record<string, torch.Dtype> = {
  F32: torch.float32,
  BF16: torch.bfloat16,
  I64: torch.int64,
  I32: torch.int32,
};

/** `npm run test:cuda` sets it. */
const device = process.env["TORCHFORGE_TEST_DEVICE"] ?? "cpu";

function stored(name: string): Tensor {
  const { dtype, shape } = file.info(name);
  return torch.fromTypedArray(file.read(name)).view(dtypes[dtype]!).view(shape).to(device);
}

/** The same values with other strides. */
function withLayout(x: Tensor, layout: Case["layout"]): Tensor {
  if (layout === "contiguous" || x.ndim < 2) return x;
  if (layout === "transposed") return x.transpose(0, 1).contiguous().transpose(0, 1);
  const last = x.shape.at(-1)!;
  const wide = torch.zeros([...x.shape.slice(0, -1), last + 3], { dtype: x.dtype, device });
  const part = wide.narrow(-1, 1, last);
  part.copy_(x);
  return part;
}

/**
 * Largest difference relative to the largest value. float32: a few roundings of sums over at most 1,100 terms.
 * bfloat16: one rounding is off by up to 2^-9, and where two follow each other (a sum and its norm; a gradient and its
 * scale) by twice that; the largest value may be just above a power of two, hence 2^-7.
 */
/** Rounding of one result; of a few products in a row in bfloat16. */
function assertStored(found: Tensor, expected: Tensor, dtype: string, what: string): void {
  assertClose(found, expected, { rtol: dtype === "float32" ? 4e-6 : 2 ** -7, floor: 1e-3 }, what);
}

function run({ op, params }: Case, x: Record<string, Tensor>): Tensor[] {
  const { eps } = params;
  if (op === "rmsNorm") return [fused.rmsNorm(x["input"]!, x["weight"], eps)];
  if (op === "addRmsNorm") return fused.addRmsNorm(x["input"]!, x["residual"]!, x["weight"], eps);
  if (op === "swiglu") return [fused.swiglu(x["gate"]!, x["up"]!)];
  if (op === "swigluJoined") return [fused.swigluJoined(x["joined"]!)];
  if (op === "rotaryEmbedding")
    return fused.rotaryEmbedding(x["query"]!, x["key"]!, x["cos"]!, x["sin"]!, x["positionIds"]);
  const { chunkSize, scale } = params;
  const [loss, count] = fused.linearCrossEntropy(x["hidden"]!, x["weight"]!, x["labels"]!, {
    ...(chunkSize === undefined ? {} : { chunkSize }),
    ...(scale === undefined ? {} : { scale }),
  });
  assert.equal(count.item(), x["labels"]!.ne(-100).sum().item());
  return [loss];
}

for (const op of new Set(index.cases.map((one) => one.op))) {
  test(`${op}: forward and backward as PyTorch`, { timeout: 60_000 }, () => {
    for (const [i, one] of index.cases.entries()) {
      if (one.op !== op) continue;
      using _ = torch.scope();
      const what = `case ${i}, ${op} ${one.dtype} ${one.layout}`;
      const x: Record<string, Tensor> = {};
      for (const name of one.inputs)
        x[name] = withLayout(stored(`${i}.${name}`), one.layout)
          .detach()
          .requiresGrad_();
      for (const name of one.fixed) x[name] = stored(`${i}.${name}`);
      const outputs = run(one, x);
      assert.equal(outputs.length, one.outputs);
      for (const [j, output] of outputs.entries())
        assertStored(output.detach(), stored(`${i}.out${j}`), one.dtype, `${what}: output ${j}`);
      const gradOutputs = outputs.map((_, j) => withLayout(stored(`${i}.gradOut${j}`), one.layout));
      const inputs = one.inputs.map((name) => x[name]!);
      // One input alone, then all at once: the same, whichever others are asked for.
      const alone = torch.grad(outputs, inputs.slice(-1), gradOutputs, { retainGraph: true });
      const all = torch.grad(outputs, inputs, gradOutputs);
      for (const [j, name] of one.inputs.entries())
        assertStored(all[j]!, stored(`${i}.grad.${name}`), one.dtype, `${what}: gradient of ${name}`);
      assertStored(alone[0]!, stored(`${i}.grad.${one.inputs.at(-1)}`), one.dtype, `${what}: one gradient`);
    }
  });
}

test("clipping and AdamW: three steps as torch.optim's", { timeout: 60_000 }, () => {
  const { params: count, steps, norms } = index.adamw;
  const names = Array.from({ length: count }, (_, i) => i);
  for (const way of ["clipped first", "clipped on the way"]) {
    using _ = torch.scope();
    const params = names.map((i) => stored(`adamw.param${i}`));
    const m = params.map((p) => torch.zerosLike(p));
    const v = params.map((p) => torch.zerosLike(p));
    const options = { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
    for (let step = 1; step <= steps; step++) {
      const grads = names.map((i) => stored(`adamw.step${step}.grad${i}`));
      if (way === "clipped first") {
        const norm = fused.clipGradNorm(grads, 1).item();
        assert.ok(
          Math.abs(norm - norms[step - 1]!) <= 1e-5 * norm,
          `norm ${norm}, expected ${norms[step - 1]}`,
        );
        for (const i of names)
          assertStored(
            grads[i]!,
            stored(`adamw.step${step}.clipped${i}`),
            "float32",
            `clipped gradient ${i}`,
          );
        fused.adamw(params, grads, m, v, step, options);
      } else {
        const gradScale = fused.clipCoefficient(fused.gradNorm(grads), 1);
        fused.adamw(params, grads, m, v, step, { ...options, gradScale });
        // Off the CPU the scale is libtorch's, which is written into them.
        for (const i of device === "cpu" ? names : [])
          assertStored(grads[i]!, stored(`adamw.step${step}.grad${i}`), "float32", "gradients stay");
      }
    }
    for (const i of names)
      assertStored(params[i]!, stored(`adamw.final${i}`), "float32", `${way}: parameter ${i}`);
  }
});
