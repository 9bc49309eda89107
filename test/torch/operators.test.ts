// Operators, forward and backward, against PyTorch's outputs on the same inputs (fixtures/ops/make_fixtures.py).
import assert from "node:assert/strict";
import test from "node:test";

import { pinnedVersion } from "../../src/setup/index.ts";
import * as torch from "../../src/torch/index.ts";
import { assertSame, dtypeOf, fixture, isStored, restore, type Stored } from "../fixtures/ops/decode.ts";

interface Case {
  op: string;
  args: unknown[];
  options?: Record<string, unknown>;
  out: unknown[];
  weights?: Stored[];
  grads?: (Stored | null)[];
}

type Operator = (...args: unknown[]) => unknown;
const functions = torch as unknown as Record<string, Operator | undefined>;

// torch.slice() makes the slices of index(); the operator is the method.
const sliceOperator: Operator = (self, ...rest) =>
  Reflect.apply(Reflect.get(torch.Tensor.prototype, "slice"), self, rest);

function decode(value: unknown): unknown {
  if (isStored(value)) return restore(value);
  if (Array.isArray(value)) return value.map(decode);
  if (typeof value === "object" && value !== null && "dtype" in value) return dtypeOf(value.dtype as string);
  return value;
}

const isTensor = (value: unknown) => value instanceof torch.Tensor;
const tensorsIn = (value: unknown): torch.Tensor[] =>
  isTensor(value) ? [value] : Array.isArray(value) ? value.flatMap(tensorsIn) : [];

function run(one: Case): void {
  const name = `${one.op}(${one.args.map((arg) => (isStored(arg) ? `[${arg.s}]` : JSON.stringify(arg))).join(", ")})`;
  const operator = one.op === "slice" ? sliceOperator : functions[one.op];
  assert(operator, `there is no ${one.op}`);
  const args = one.args.map(decode);
  const leaves = tensorsIn(args).filter((tensor) => tensor.requiresGrad);
  if (one.op.endsWith("_") && leaves.length > 0) args[0] = (args[0] as torch.Tensor).mul(1);
  if (one.options)
    args.push(Object.fromEntries(Object.entries(one.options).map(([key, value]) => [key, decode(value)])));
  const result = operator(...args);
  const outputs: unknown[] = Array.isArray(result) ? result : [result];
  assert.equal(outputs.length, one.out.length, `${name}: number of results`);
  for (const [i, expected] of one.out.entries()) {
    const found = outputs[i];
    if (isStored(expected)) {
      assert(isTensor(found), `${name}: result ${i}`);
      assertSame(found, expected, `${name}: result ${i}`);
    } else assert.equal(found, expected, `${name}: result ${i}`);
  }
  if (!one.weights || !one.grads) return;
  const through = tensorsIn(outputs).filter((tensor) => tensor.requiresGrad);
  const gradients = torch.grad(through, leaves, one.weights.map(restore), { allowUnused: true });
  assert.equal(gradients.length, one.grads.length, `${name}: number of gradients`);
  for (const [i, expected] of one.grads.entries()) {
    const found = gradients[i];
    if (expected === null) assert.equal(found, undefined, `${name}: gradient ${i}`);
    else {
      assert(found, `${name}: gradient ${i}`);
      assertSame(found, expected, `${name}: gradient ${i}`, 1e-4);
    }
  }
}

const cases = fixture<Case>("ops.json");
const isPinned = torch.info().torchVersion.split("+")[0] === pinnedVersion;

test("the fixtures hold at least 150 operators, forward and backward", () => {
  const backward = new Set(
    cases.filter((one) => one.grads?.some((grad) => grad !== null)).map((one) => one.op),
  );
  assert(new Set(cases.map((one) => one.op)).size >= 150);
  assert(backward.size >= 150, `${backward.size}`);
});

for (const [op, group] of Object.entries(Object.groupBy(cases, (one) => one.op))) {
  test(op, { timeout: 30_000 }, () => {
    for (const one of group!) {
      using _ = torch.scope();
      try {
        run(one);
      } catch (error) {
        // Another libtorch than the pinned one may lack it (2.15 has no cholesky), and says so.
        if (isPinned || !/libtorch \S+ has no operator aten::/.test(String(error))) throw error;
      }
    }
  });
}
