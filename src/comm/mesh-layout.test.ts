import assert from "node:assert/strict";
import { test } from "node:test";

import { UserError } from "../util/index.ts";
import { MeshLayout } from "./mesh-layout.ts";

const layout = new MeshLayout([2, 2, 3], ["dp", "cp", "tp"]);

test("a rank's coordinate has the last axis fastest, and rankAt inverts it", () => {
  assert.deepEqual(layout.coordinateOf(0), [0, 0, 0]);
  assert.deepEqual(layout.coordinateOf(2), [0, 0, 2]);
  assert.deepEqual(layout.coordinateOf(3), [0, 1, 0]);
  assert.deepEqual(layout.coordinateOf(11), [1, 1, 2]);
  assert.equal(layout.coordinateOf(12), undefined);
  for (const rank of layout.ranks) assert.equal(layout.rankAt(layout.coordinateOf(rank)!), rank);
});

test("a line holds the ranks that differ along its axes only", () => {
  assert.deepEqual(layout.groupOf(4, ["tp"]), [3, 4, 5]);
  assert.deepEqual(layout.groupOf(4, ["dp"]), [4, 10]);
  assert.deepEqual(layout.groupOf(4, ["dp", "cp"]), [1, 4, 7, 10]);
  assert.deepEqual(
    layout.groupOf(4, ["cp", "dp"]),
    [1, 7, 4, 10],
    "in the order of the axes that were asked for",
  );
  assert.deepEqual(layout.groupOf(99, ["tp"]), []);
});

test("the groups along any axes partition the mesh: every rank is in exactly one", () => {
  for (const axes of [["dp"], ["cp"], ["tp"], ["dp", "tp"], ["dp", "cp", "tp"]]) {
    const groups = layout.groupsAlong(axes);
    assert.deepEqual(
      groups.flat().sort((a, b) => a - b),
      [...layout.ranks],
    );
    for (const group of groups) {
      for (const rank of group) assert.deepEqual(layout.groupOf(rank, axes), group);
    }
  }
});

test("a slice keeps the world's ranks", () => {
  const slice = layout.slice(7, ["dp", "tp"]);
  assert.deepEqual(slice.shape, [2, 3]);
  assert.deepEqual(slice.ranks, [0, 1, 2, 6, 7, 8]);
  assert.deepEqual(slice.coordinateOf(7), [1, 1]);
});

const mistakes: [string, () => unknown, RegExp][] = [
  ["an unknown axis", () => layout.groupOf(0, ["pp"]), /no axis "pp"; this mesh has "dp", "cp", "tp"/],
  ["an axis twice", () => layout.groupOf(0, ["tp", "tp"]), /an axis is there twice in tp, tp/],
  ["no axis", () => layout.groupOf(0, []), /expected at least one axis/],
  ["too few names", () => new MeshLayout([2, 2], ["dp"]), /one name for each axis, found shape \[2, 2\]/],
  ["a name twice", () => new MeshLayout([2, 2], ["dp", "dp"]), /axis name "dp" is there twice/],
  [
    "a size of 0",
    () => new MeshLayout([0], ["dp"]),
    /positive whole number as the size of axis "dp", found 0/,
  ],
  ["a bad name", () => new MeshLayout([1], ["a b"]), /axis names of letters, digits and _, found "a b"/],
  ["too few ranks", () => new MeshLayout([4], ["dp"], [0, 1]), /has 4 places, found 2 ranks/],
  ["a place outside", () => layout.rankAt([0, 2, 0]), /no place \[0, 2, 0\] in a mesh of shape \[2, 2, 3\]/],
];
for (const [what, call, message] of mistakes) {
  test(`${what} is refused`, () => {
    assert.throws(call, (error) => error instanceof UserError && message.test(error.message));
  });
}
