import assert from "node:assert/strict";
import test from "node:test";

import { checkPlain } from "./plain.ts";

class Weights {
  data = new Float32Array(2);
}

test("plain data passes, also when it refers to itself", () => {
  const loop: Record<string, unknown> = {
    list: [1, "a", 2n, null, undefined, new Date(), /x/, new Error("e")],
  };
  loop["self"] = loop;
  loop["map"] = new Map<unknown, unknown>([["k", new Set([new Uint8Array(1), new ArrayBuffer(1)])]]);
  loop["bare"] = Object.create(null) as object;
  checkPlain(loop, "value");
});

test("anything else is named, with its place", () => {
  const cases: [value: unknown, message: RegExp][] = [
    [new Weights(), /^x is a Weights, which can't leave its process: only plain data crosses/],
    [{ a: [0, new Weights()] }, /^x\.a\[1\] is a Weights/],
    [{ f: () => 1 }, /^x\.f is a function/],
    [Symbol("s"), /^x is a symbol/],
    [new Map([["k", new Weights()]]), /^x\.get\(k\) is a Weights/],
    [new Set([new Weights()]), /^an entry of x is a Weights/],
    [Promise.resolve(), /^x is a Promise.*e\.g\. tensor\.tolist\(\), and call that\.$/],
  ];
  for (const [value, message] of cases) {
    assert.throws(() => checkPlain(value, "x"), { name: "UserError", message });
  }
});
