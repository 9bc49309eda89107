// One rank of the export test: `export.ts FOLDER`. Both ranks together save, as one process would, a model of which each has
// a part, and read their parts of it again; neither ever has memory for more than its part and a few pieces on the way.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { loadWeights, saveStep, saveWeights } from "../../../src/checkpoint/index.ts";
import { sliceOf, type ShardSlice } from "../../../src/nn/index.ts";
import { Ranks } from "../../../src/parallel/index.ts";
import { sliceOfRank } from "../../../src/parallel/strategies/sharded-block.ts";
import {
  arange,
  bfloat16,
  empty,
  float32,
  memoryStats,
  noGrad,
  resetPeakMemory,
  scope,
  type Tensor,
} from "../../../src/torch/index.ts";
import { check, joinWorld, leave, rank, size } from "../../comm/rank.ts";

const work = process.argv[2]!;
const world = await joinWorld({ timeoutSeconds: 300 });
const ranks = Ranks.ofWorld(world, { rank, worldSize: size });

// 12 matrices of 8 MiB, of a number of rows that doesn't divide, and a vector.
const matrices = Array.from({ length: 12 }, (_, i) => `model.layers.${i}.weight`);
const shapes = new Map<string, readonly number[]>([
  ...matrices.map((name) => [name, [2047, 1024]] as const),
  ["model.norm.weight", [1023]],
]);
const wholeBytes = 12 * 2047 * 1024 * 4;
/** Pieces of a tensor on their way to the disk or from it are of 16 MiB: two of them, and their cast. */
const onTheWay = 40 * 2 ** 20;

/** The whole of a parameter: numbers that tell where they belong. */
function makeWhole(name: string): Tensor {
  const shape = shapes.get(name)!;
  const count = shape.reduce((a, b) => a * b, 1);
  return arange(count, { dtype: float32 }).remainder(8191).add(matrices.indexOf(name)).reshape(shape);
}

interface Case {
  rows: Map<string, ShardSlice>;
  names: readonly string[];
  /** What this rank saves. */
  saved: readonly string[];
}

const half = (of: number) => ({ start: (rank * of) / 2, length: of / 2, of });
const cases: Record<string, Case> = {
  "rows (FSDP)": {
    rows: new Map([...shapes].map(([name, [of]]) => [name, sliceOfRank(of!, rank, size)])),
    names: [...shapes.keys()],
    saved: [...shapes.keys()],
  },
  "columns, and a copy on each rank (tensor parallelism)": {
    rows: new Map(
      [...shapes].map(([name, [of, columns]]) => {
        const all = { dim: 0, start: 0, length: of!, of: of! } as const;
        return [name, columns === undefined ? all : { ...all, columns: half(columns) }];
      }),
    ),
    names: [...shapes.keys()],
    saved: rank === 0 ? [...shapes.keys()] : matrices,
  },
  "some parameters, and a tied one on both ranks (pipeline)": {
    rows: new Map(),
    names: rank === 0 ? matrices.slice(0, 6) : [...matrices.slice(5), "model.norm.weight"],
    saved: rank === 0 ? matrices.slice(0, 6) : [...matrices.slice(6), "model.norm.weight"],
  },
};

/** The most memory that tensors and buffers take while `body` runs, beside what they took before. */
async function peakOf(body: () => void | Promise<void>): Promise<number> {
  globalThis.gc?.();
  resetPeakMemory();
  const [tensors, { arrayBuffers }] = [memoryStats().currentBytes, process.memoryUsage()];
  await body();
  const buffers = process.memoryUsage().arrayBuffers - arrayBuffers;
  return memoryStats().peakBytes - tensors + Math.max(0, buffers);
}

for (const [name, { rows, names, saved }] of Object.entries(cases)) {
  await check(`${name}: saved as one process would, loaded again, never whole`, async () => {
    using _ = scope();
    const model = new Map(
      names.map((one) => {
        using inner = scope();
        return [one, inner.keep(sliceOf(makeWhole(one), rows.get(one)).clone())];
      }),
    );
    const own = [...model.values()].reduce((sum, one) => sum + one.nbytes, 0);
    assert.ok(own < 0.6 * wholeBytes, `${own} bytes`);
    const folder = join(work, name.split(" ")[0]!);
    // Several files with an index, in another type: as large models are exported.
    const options = { dtype: bfloat16, maxShardBytes: 15e6 };
    let path = "";
    const saving = await peakOf(async () => {
      ({ path } = await saveStep(
        folder,
        { step: 1, model, slices: rows, saved: shapes },
        { ...options, ranks, ownership: { index: rank, count: size, replica: 0, saved: new Set(saved) } },
      ));
    });
    assert.ok(saving < onTheWay, `saving took ${saving} bytes beside ${own}`);

    const read = new Map([...model].map(([one, { shape }]) => [one, empty(shape)]));
    const loading = await peakOf(() => {
      loadWeights(path, read, { slices: rows, elsewhere: new Set(shapes.keys()) });
    });
    assert.ok(loading < onTheWay, `loading took ${loading} bytes beside ${own}`);
    for (const [one, tensor] of read)
      assert.ok(
        noGrad(() => tensor.equal(model.get(one)!.to(bfloat16).to(tensor.dtype))),
        one,
      );

    if (rank > 0) return;
    const expected = join(work, `${name.split(" ")[0]}-expected`);
    saveWeights(expected, new Map([...shapes.keys()].map((one) => [one, makeWhole(one)])), options);
    const files = readdirSync(expected);
    assert.ok(files.length > 4 && files.includes("model.safetensors.index.json"), files.join(" "));
    for (const file of files)
      assert.ok(readFileSync(join(path, file)).equals(readFileSync(join(expected, file))), file);
  });
}
leave();
