// By hand: trains each family's tiny model for two steps, exports it to DIR/NAME, and leaves its logits there for check_exports.py.
//   node test/models/families/export.ts DIR && python test/models/families/check_exports.py DIR
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { loadWeights, saveWeights } from "../../../src/checkpoint/index.ts";
import { blockSpecs, Decoder, ownPrefixesOf, readModelConfig } from "../../../src/models/index.ts";
import { fileNames } from "../../../src/nn/index.ts";
import { makeOptimizer } from "../../../src/optim/index.ts";
import { fromTypedArray, noGrad, scope, type Tensor } from "../../../src/torch/index.ts";
import { forwardBackward } from "../../../src/train/engine/step.ts";
import { names, readFixture, writeModel } from "./fixture.ts";

const [work] = process.argv.slice(2);
if (work === undefined) throw new Error("usage: export.ts DIR");
const ids = (values: readonly number[]): Tensor =>
  fromTypedArray(BigInt64Array.from(values, BigInt), [values.length]);
for (const name of names) {
  using _ = scope();
  const fixture = readFixture(name);
  const source = join(work, `${name}-source`);
  writeModel(source, fixture);
  const config = readModelConfig(source);
  const own = fileNames(blockSpecs(config));
  const model = new Decoder(config);
  loadWeights(source, model.parameters, own);
  model.prepare(64);
  const [document] = fixture.documents as readonly [readonly number[]];
  const sequence = { positions: ids(document.map((_one, i) => i)), lengths: [document.length] };
  const counts = { realTokens: document.length, trainedTokens: document.length - 1 };
  const labels = ids([...document.slice(1), -100]);
  const trained = new Map([...model.parameters].filter(([, { requiresGrad }]) => requiresGrad));
  const optimizer = makeOptimizer({ lr: 1e-3, eps: 1e-3, implementation: "fused" }, trained);
  for (let step = 0; step < 2; step++) {
    forwardBackward(
      model,
      { tokens: ids(document), labels, ...sequence, ...counts },
      1 / counts.trainedTokens,
    );
    optimizer.step(1e-3);
    optimizer.zeroGrad();
  }
  const target = join(work, name);
  const ownPrefixes = ownPrefixesOf(config);
  saveWeights(target, model.parameters, { ...own, sourceFolder: source, ownPrefixes });
  const logits = noGrad(() => model.head.logits(model.hidden(ids(document), sequence)).tolist());
  writeFileSync(join(target, "logits.json"), JSON.stringify({ document, logits }));
}
