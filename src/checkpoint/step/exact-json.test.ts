import assert from "node:assert/strict";
import test from "node:test";

import { fromExactJson, toExactJson, type Exact } from "./exact-json.ts";

void test("everything comes back exactly as it was", () => {
  const state: Exact = {
    numbers: [0, -0, 1e-320, NaN, Infinity, -Infinity, 0.1 + 0.2],
    big: 2n ** 63n - 1n,
    bytes: Uint8Array.of(0, 255),
    ids: Int32Array.of(-1, 2 ** 31 - 1),
    longs: BigInt64Array.of(-(2n ** 63n)),
    losses: Float32Array.of(NaN, 0.1),
    nested: { text: 'a"\u0000ü', nothing: null, list: [true, []] },
    looksLikeOurs: { $number: "NaN" },
    nestedLikeOurs: { $object: { $bigint: "1" } },
    __proto__x: 1,
  };
  assert.deepStrictEqual(fromExactJson(toExactJson(state)), state);
  const minusZero = fromExactJson(toExactJson(-0));
  assert.ok(Object.is(minusZero, -0));
});

void test("a view of a larger buffer is saved as the view alone, a Buffer as bytes", () => {
  const whole = Int32Array.of(1, 2, 3, 4);
  assert.deepStrictEqual(fromExactJson(toExactJson(whole.subarray(1, 3))), Int32Array.of(2, 3));
  assert.deepStrictEqual(fromExactJson(toExactJson(Buffer.from("ab"))), Uint8Array.of(97, 98));
});

void test("what would be lost is refused with its place", () => {
  const refused = (value: unknown, message: RegExp): void => {
    assert.throws(() => toExactJson(value as Exact), { name: "TypeError", message });
  };
  refused({ a: [1, new Map()] }, /state\.a\[1\]: a Map has no exact JSON form/);
  refused([undefined], /state\[0\]: undefined has no exact JSON form/);
  refused({ f: () => 1 }, /state\.f: function has no exact/);
  assert.deepStrictEqual(fromExactJson(toExactJson({ a: 1, b: undefined })), { a: 1 });
});
