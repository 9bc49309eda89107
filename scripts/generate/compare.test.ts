import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";

import { compareOperators, comparisonLines } from "./compare.ts";
import { chooseOperators } from "./operators.ts";

const generated = `
const a = new Op("aten::relu", "", "T:1");
const b = new Op("aten::add", "Tensor", "T T n:1");
const c = new Op("aten::old", "", "T:1");
`;

test("a libtorch of another version: what is new, gone and other is told, and nothing unknown is an error", () => {
  const unreadable: string[] = [];
  const groups = chooseOperators(
    [
      "aten::relu(Tensor self) -> Tensor",
      "aten::add.Tensor(Tensor self, Tensor other) -> Tensor",
      "aten::brand_new(Tensor self) -> Tensor",
      "aten::of_another_type(Tensor self, Quaternion q) -> Tensor",
      "aten::odd!(Tensor self) -> Tensor",
    ],
    (text) => unreadable.push(text),
  );
  assert.deepEqual(unreadable, ["aten::odd!(Tensor self) -> Tensor"]);
  const found = compareOperators(groups, generated);
  assert.deepEqual(found, {
    added: ["aten::brand_new"],
    gone: ["aten::old"],
    changed: ["aten::add.Tensor"],
  });
  assert.deepEqual(comparisonLines(found), [
    "  1 are new, and have no function yet (torch.call takes them): aten::brand_new",
    "  1 are gone: their functions fail when they are used: aten::old",
    "  1 have other arguments: their functions fail when they are used: aten::add.Tensor",
  ]);
});

test("what is checked in is read", () => {
  const file = resolve(import.meta.dirname, "../../src/torch/generated/functions.ts");
  assert.ok(compareOperators([], readFileSync(file, "utf8")).gone.length > 1500);
});
