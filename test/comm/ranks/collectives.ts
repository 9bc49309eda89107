// Every collective, in every dtype it takes, against what plain JavaScript makes of all ranks' inputs. The inputs are small
// whole numbers, so that results are exact in bfloat16 too.
import assert from "node:assert/strict";

import {
  allGather,
  allGatherIntoTensor,
  allGatherObject,
  allReduce,
  allReduceCoalesced,
  allToAll,
  allToAllSingle,
  barrier,
  broadcast,
  broadcastObject,
  destroyProcessGroup,
  functional,
  gather,
  irecv,
  isend,
  recv,
  reduce,
  type ReduceOp,
  reduceScatter,
  reduceScatterTensor,
  scatter,
  send,
  worksInFlight,
} from "../../../src/comm/index.ts";
import * as torch from "../../../src/torch/index.ts";
import { check, joinWorld, leave, numbersOf, rank, ranks, size, tensorOf } from "../rank.ts";

const { float32, float64, float16, bfloat16, int64, int32, int16, uint8, bool, float8E4m3fn } = torch;
const reducible = [float32, float64, float16, bfloat16, int64, int32];
const movable = [...reducible, uint8, bool, int16, float8E4m3fn];

/** What rank r holds at place i: -2 to 2, or for bool and uint8 0 and 1. */
function value(r: number, i: number, dtype: torch.Dtype): number {
  const at = (r * 7 + i * 3 + ((r * i) % 4)) % 5;
  return dtype === bool || dtype === uint8 ? at % 2 : at - 2;
}
function values(r: number, n: number, dtype: torch.Dtype, from = 0): number[] {
  return Array.from({ length: n }, (_, i) => value(r, from + i, dtype));
}
function make(n: number, dtype: torch.Dtype): torch.Tensor {
  return tensorOf(values(rank, n, dtype), dtype);
}
const reductions: Record<ReduceOp, (list: number[]) => number> = {
  sum: (list) => list.reduce((a, b) => a + b),
  avg: (list) => list.reduce((a, b) => a + b) / list.length,
  product: (list) => list.reduce((a, b) => a * b),
  min: (list) => Math.min(...list),
  max: (list) => Math.max(...list),
};
function reduced(op: ReduceOp, n: number, dtype: torch.Dtype, from = 0): number[] {
  return Array.from({ length: n }, (_, i) => reductions[op](ranks.map((r) => value(r, from + i, dtype)))).map(
    (x) => (x === 0 ? 0 : x),
  );
}
function opsOf(dtype: torch.Dtype): ReduceOp[] {
  return dtype.isFloatingPoint ? ["sum", "avg", "product", "min", "max"] : ["sum", "product", "min", "max"];
}

await joinWorld();

for (const dtype of reducible) {
  for (const op of opsOf(dtype)) {
    await check(`allReduce ${op} ${dtype.name}`, async () => {
      const x = make(7, dtype);
      assert.equal(allReduce(x, { op }), x);
      assert.deepEqual(numbersOf(x), reduced(op, 7, dtype));
      const y = make(7, dtype);
      assert.equal(await allReduce(y, { op, async: true }), y);
      assert.deepEqual(numbersOf(y), reduced(op, 7, dtype));
      const z = make(7, dtype);
      assert.deepEqual(numbersOf(functional.allReduce(z, { op })), reduced(op, 7, dtype));
      assert.deepEqual(numbersOf(z), values(rank, 7, dtype), "the functional form leaves its input alone");
    });
    await check(`reduceScatterTensor ${op} ${dtype.name}`, async () => {
      const input = make(3 * size, dtype);
      const output = tensorOf([0, 0, 0], dtype);
      reduceScatterTensor(output, input, { op });
      const expected = reduced(op, 3, dtype, rank * 3);
      assert.deepEqual(numbersOf(output), expected);
      assert.deepEqual(numbersOf(input), values(rank, 3 * size, dtype));
      assert.deepEqual(numbersOf(await functional.reduceScatterTensor(input, { op, async: true })), expected);
      const parts = ranks.map((r) => tensorOf(values(rank, 3, dtype, r * 3), dtype));
      assert.deepEqual(numbersOf(reduceScatter(tensorOf([0, 0, 0], dtype), parts, { op })), expected);
    });
    await check(`reduce ${op} ${dtype.name}`, () => {
      for (const dst of ranks) {
        const x = make(5, dtype);
        reduce(x, { dst, op });
        if (rank === dst) assert.deepEqual(numbersOf(x), reduced(op, 5, dtype));
      }
    });
  }
  await check(`allReduceCoalesced ${dtype.name}`, () => {
    const list = [3, 1, 4].map((n) => make(n, dtype));
    allReduceCoalesced(list);
    for (const x of list) assert.deepEqual(numbersOf(x), reduced("sum", x.numel(), dtype));
  });
  await check(`reduceScatterTensor along dim 1 ${dtype.name}`, () => {
    const width = 2 * size;
    const input = tensorOf([values(rank, width, dtype), values(rank, width, dtype, width)], dtype);
    const expected = [...reduced("sum", 2, dtype, rank * 2), ...reduced("sum", 2, dtype, width + rank * 2)];
    const output = functional.reduceScatterTensor(input, { dim: 1 });
    assert.deepEqual(output.shape, [2, 2]);
    assert.deepEqual(numbersOf(output), expected);
  });
}

await check("allReduce min and max of bool", () => {
  for (const op of ["min", "max"] as const) {
    const x = make(6, bool);
    allReduce(x, { op });
    assert.deepEqual(numbersOf(x), reduced(op, 6, bool));
  }
});

for (const dtype of movable) {
  const all = ranks.flatMap((r) => values(r, 4, dtype));
  await check(`broadcast ${dtype.name}`, () => {
    for (const src of ranks) {
      const x = make(5, dtype);
      broadcast(x, { src });
      assert.deepEqual(numbersOf(x), values(src, 5, dtype));
      const y = make(5, dtype);
      assert.deepEqual(numbersOf(functional.broadcast(y, { src })), values(src, 5, dtype));
      assert.deepEqual(numbersOf(y), values(rank, 5, dtype));
    }
  });
  await check(`allGatherIntoTensor ${dtype.name}`, async () => {
    const output = torch.zeros([size * 2, 2], { dtype });
    allGatherIntoTensor(output, make(4, dtype).view([2, 2]));
    assert.deepEqual(numbersOf(output), all);
    const other = await functional.allGatherTensor(make(4, dtype).view([2, 2]), { async: true });
    assert.deepEqual(other.shape, [size * 2, 2]);
    assert.deepEqual(numbersOf(other), all);
  });
  await check(`allGatherTensor along dim 1 ${dtype.name}`, () => {
    const output = functional.allGatherTensor(make(4, dtype).view([2, 2]), { dim: -1 });
    assert.deepEqual(output.shape, [2, size * 2]);
    const expected = [0, 1].flatMap((row) => ranks.flatMap((r) => values(r, 2, dtype, row * 2)));
    assert.deepEqual(numbersOf(output), expected);
  });
  await check(`allGather ${dtype.name}`, () => {
    const outputs = ranks.map(() => torch.zeros([4], { dtype }));
    allGather(outputs, make(4, dtype));
    for (const r of ranks) assert.deepEqual(numbersOf(outputs[r]!), values(r, 4, dtype));
  });
  await check(`allToAllSingle in equal parts ${dtype.name}`, () => {
    const output = torch.zeros([size * 2, 2], { dtype });
    allToAllSingle(output, make(size * 4, dtype).view([size * 2, 2]));
    const expected = ranks.flatMap((r) => values(r, 4, dtype, rank * 4));
    assert.deepEqual(numbersOf(output), expected);
    assert.deepEqual(
      numbersOf(functional.allToAllSingle(make(size * 4, dtype).view([size * 2, 2]))),
      expected,
    );
  });
  await check(`allToAllSingle with split sizes ${dtype.name}`, () => {
    const rows = (from: number, to: number) => (from + 2 * to) % 3; // 0 among them
    const inputSplits = ranks.map((to) => rows(rank, to));
    const outputSplits = ranks.map((from) => rows(from, rank));
    const total = inputSplits.reduce((a, b) => a + b);
    const input = make(total * 3, dtype).view([total, 3]);
    const output = functional.allToAllSingle(input, { inputSplits, outputSplits });
    const expected = ranks.flatMap((from) => {
      const before = ranks.slice(0, rank).reduce((n, to) => n + rows(from, to), 0);
      return values(from, rows(from, rank) * 3, dtype, before * 3);
    });
    assert.deepEqual(numbersOf(output), expected);
  });
  await check(`allToAll ${dtype.name}`, () => {
    const inputs = ranks.map((to) => tensorOf(values(rank, rank + to + 1, dtype), dtype));
    const outputs = ranks.map((from) => torch.zeros([from + rank + 1], { dtype }));
    allToAll(outputs, inputs);
    for (const from of ranks)
      assert.deepEqual(numbersOf(outputs[from]!), values(from, from + rank + 1, dtype));
  });
  await check(`gather and scatter ${dtype.name}`, () => {
    for (const root of ranks) {
      const outputs = rank === root ? ranks.map(() => torch.zeros([4], { dtype })) : undefined;
      gather(make(4, dtype), outputs ? { dst: root, outputs } : { dst: root });
      if (outputs) assert.deepEqual(outputs.flatMap(numbersOf), all);
      const inputs = rank === root ? ranks.map((r) => tensorOf(values(r, 4, dtype), dtype)) : undefined;
      const mine = scatter(torch.zeros([4], { dtype }), inputs ? { src: root, inputs } : { src: root });
      assert.deepEqual(numbersOf(mine), values(rank, 4, dtype));
    }
  });
  await check(`send and recv ${dtype.name}`, async () => {
    // A ring; even ranks send first.
    const [next, previous] = [(rank + 1) % size, (rank + size - 1) % size];
    const received = torch.zeros([4], { dtype });
    if (rank % 2 === 0) {
      send(make(4, dtype), next);
      recv(received, previous);
    } else {
      recv(received, previous);
      send(make(4, dtype), next);
    }
    assert.deepEqual(numbersOf(received), values(previous, 4, dtype));
    const [a, b] = [torch.zeros([4], { dtype }), torch.zeros([2], { dtype })];
    const works = [
      irecv(b, previous, { tag: 7 }),
      irecv(a, previous, { tag: 6 }),
      isend(make(4, dtype), next, { tag: 6 }),
      isend(make(2, dtype), next, { tag: 7 }),
    ];
    await Promise.all(works);
    assert.deepEqual(numbersOf(a), values(previous, 4, dtype));
    assert.deepEqual(numbersOf(b), values(previous, 2, dtype));
  });
}

await check("tensors without elements, and of no dimension", () => {
  allReduce(torch.zeros([0, 3]));
  const scalar = tensorOf([rank + 1], float32).view([]);
  allReduce(scalar);
  assert.deepEqual(numbersOf(scalar), [ranks.reduce((n, r) => n + r + 1, 0)]);
  assert.deepEqual(functional.reduceScatterTensor(torch.zeros([size, 0])).shape, [1, 0]);
  assert.deepEqual(functional.allGatherTensor(torch.zeros([0, 3])).shape, [0, 3]);
});

await check("reduceScatterTensor of bfloat16 rounds once: it adds in float32", () => {
  // 256 + 1 is not a bfloat16; adding 1 to 256 again and again in bfloat16 would stay at 256.
  const input = torch.full([size], rank === 0 ? 256 : 1, { dtype: bfloat16 });
  const exact = tensorOf([256 + (size - 1)], bfloat16);
  assert.deepEqual(numbersOf(functional.reduceScatterTensor(input)), numbersOf(exact));
});

await check("a long queue of calls comes back in order", async () => {
  const tensors = Array.from({ length: 40 }, (_, i) => torch.full([1000], rank + i));
  const works = tensors.map((x) => allReduce(x, { async: true }));
  for (const work of works.reverse()) work.wait();
  for (const [i, x] of tensors.entries())
    assert.equal(
      x.select(0, 999).item(),
      ranks.reduce((n, r) => n + r + i, 0),
    );
  await Promise.all(works);
  assert.equal(worksInFlight(), 0);
});

await check("barrier holds until the last comes", async () => {
  await barrier({ async: true });
  const began = performance.now();
  if (rank === size - 1) await new Promise((done) => setTimeout(done, 300));
  barrier();
  assert.ok(performance.now() - began > 250);
});

await check("objects", async () => {
  const object = await broadcastObject(rank === 1 ? { path: "Zürich/日本", steps: [1, 2] } : "ignored", {
    src: 1,
  });
  assert.deepEqual(object, { path: "Zürich/日本", steps: [1, 2] });
  const gathered = await allGatherObject({ rank, padding: "x".repeat(rank * 50) });
  assert.deepEqual(
    gathered,
    ranks.map((r) => ({ rank: r, padding: "x".repeat(r * 50) })),
  );
});

await destroyProcessGroup();
leave();
