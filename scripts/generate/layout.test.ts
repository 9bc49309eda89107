// The generated functions write their arguments as libtorch's schemas say; where another version's schema differs, or
// the operator isn't there, using it is an error that says so.
import assert from "node:assert/strict";
import test from "node:test";

import { pinnedVersion } from "../../src/setup/index.ts";
import { info } from "../../src/torch/index.ts";
import { addon } from "../../src/torch/introspect.ts";
import { Op } from "../../src/torch/addon/wire.ts";
import { chooseOperators } from "./operators.ts";
import { layoutOf } from "./types.ts";

test("the layout that functions are generated with is the addon's, for every operator", () => {
  // What another libtorch has that the generator doesn't know is no operator of ours.
  const isPinned = info().torchVersion.split("+")[0] === pinnedVersion;
  const groups = chooseOperators(addon().schemas(), isPinned ? undefined : () => undefined);
  const overloads = groups.flatMap((group) => group.overloads);
  assert(overloads.length > 1500);
  for (const schema of overloads) new Op(schema.name, schema.overload, layoutOf(schema)).resolve();
});

test("an operator that this libtorch has otherwise, or not at all, fails when it is used", () => {
  const version = info().torchVersion.split("+")[0]!;
  const changed = new Op("aten::relu", "", "T T:1");
  assert.throws(
    () => changed.resolve(),
    (error: Error) =>
      error.message.includes(`libtorch ${version} has aten::relu with other arguments or results`) &&
      error.message.includes(
        'torch.call("aten::relu", …), as its schema says: aten::relu(Tensor self) -> Tensor',
      ),
  );
  // Also where it was looked up before.
  new Op("aten::relu", "", "T:1").resolve();
  assert.throws(() => changed.resolve(), /with other arguments or results/);
  assert.throws(
    () => new Op("aten::no_such_operator", "out", "T:1").resolve(),
    new RegExp(`libtorch ${version.replaceAll(".", "\\.")} has no operator aten::no_such_operator\\.out`),
  );
});
