import assert from "node:assert/strict";
import { test } from "node:test";
import { float, isFloat, parseJson, pythonFloat, pythonJson } from "./values.ts";

void test("numbers keep what they are in Python, and JSON is written as json.dumps writes it", () => {
  // The right column is json.dumps(json.loads(text), ensure_ascii=False) of Python 3.12.
  const cases: [string, string][] = [
    [
      '{"order":1234567890123456789,"price":20.0,"eps":1e-7}',
      '{"order": 1234567890123456789, "price": 20.0, "eps": 1e-07}',
    ],
    [
      "[9007199254740991,9007199254740992,-9007199254740993]",
      "[9007199254740991, 9007199254740992, -9007199254740993]",
    ],
    [
      "[1e3,1E16,1e15,1.5e3,-0.0,0.0,-0,0.1e1]",
      "[1000.0, 1e+16, 1000000000000000.0, 1500.0, -0.0, 0.0, 0, 1.0]",
    ],
    [
      "[0.0001,0.00001,123456789012345680.0,1e22,5e-324]",
      "[0.0001, 1e-05, 1.2345678901234568e+17, 1e+22, 5e-324]",
    ],
    ["[1.99999999999999999999,3.14,-2.50,1e400]", "[2.0, 3.14, -2.5, Infinity]"],
    ['{"b":1,"1":2,"a":{"10":0,"9":0}}', '{"b": 1, "1": 2, "a": {"10": 0, "9": 0}}'],
    ['{"1":2,"b":1,"b":3}', '{"1": 2, "b": 3}'],
    [
      '[ {"a" : "x\\"\\\\" , "b":"\\u00e9\u2028", "n":[ ], "o":{ } ,"p": 2.0} ]',
      '[{"a": "x\\"\\\\", "b": "\u00e9\u2028", "n": [], "o": {}, "p": 2.0}]',
    ],
    [
      '{"arguments":"{\\"x\\": 20.0}","t":true,"f":false,"n":null,"y":1.0}',
      '{"arguments": "{\\"x\\": 20.0}", "t": true, "f": false, "n": null, "y": 1.0}',
    ],
    ["20.0", "20.0"],
    ["12345678901234567890", "12345678901234567890"],
  ];
  for (const [text, expected] of cases) assert.equal(pythonJson(parseJson(text)), expected, text);
  // A whole float survives the way to a thread.
  const clone = structuredClone(parseJson('{"a":[20.0,1e22]}'));
  assert.equal(pythonJson(clone), '{"a": [20.0, 1e+22]}');
  assert.equal(isFloat(float(2)), true);
  assert.equal(isFloat(2), false);
  assert.deepEqual([2.5, NaN, -Infinity, 1e100].map(pythonFloat), ["2.5", "nan", "-inf", "1e+100"]);
});

void test("what JSON.parse makes of a text is what parseJson makes of it, but for those numbers and orders", () => {
  let seed = 7;
  const next = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
  const make = (depth: number): unknown => {
    const kind = next(depth > 3 ? 5 : 7);
    if (kind === 0) return ["", "a", 'q"uote', "back\\slash\\", "\u2028\n\ud83d", "20.0, 1e5", "é"][next(7)];
    if (kind === 1) return [true, false, null][next(3)];
    if (kind < 5) return [0.5, 1.25, 7, -3, 1e-7, 2 ** 40, 123][next(7)];
    const items = Array.from({ length: next(4) }, () => make(depth + 1));
    return kind === 5 ? items : Object.fromEntries(items.map((item, i) => [`k${i}"`, item]));
  };
  for (let i = 0; i < 500; i++) {
    const value = { row: make(0), whole: float(3) };
    const text = JSON.stringify(value).replace('"whole":3', '"whole":3.0');
    assert.deepEqual(parseJson(text), value);
  }
});

void test("what is not JSON says so; NaN is named", () => {
  assert.throws(() => parseJson('{"a": NaN}'), {
    name: "SyntaxError",
    message: /^NaN is no JSON value; write null/,
  });
  assert.throws(() => parseJson("[-Infinity, 1]"), { message: /^-Infinity is no JSON value/ });
  assert.throws(() => parseJson('{"a": oops, "b": 20.0}'), { name: "SyntaxError", message: /oops/ });
  const deep = `${"[".repeat(600)}20.0${"]".repeat(600)}`;
  assert.throws(() => parseJson(deep), { message: "nested deeper than 500 levels" });
  const proto = parseJson('{"__proto__": 1, "a": 2.0}') as object;
  assert.deepEqual(Object.keys(proto), ["__proto__", "a"]);
});
