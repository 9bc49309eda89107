// Sub-groups and the device mesh on four ranks.
import assert from "node:assert/strict";

import {
  allGatherObject,
  allReduce,
  barrier,
  broadcast,
  destroyProcessGroup,
  functional,
  initDeviceMesh,
  newGroup,
} from "../../../src/comm/index.ts";
import { fromArray, full } from "../../../src/torch/index.ts";
import { check, joinWorld, leave, numbersOf, rank, ranks } from "../rank.ts";

const world = await joinWorld();

await check("groups of two, one after the other and at once", async () => {
  const mine = rank < 2 ? [0, 1] : [2, 3];
  const group = await newGroup(mine);
  assert.equal(group.size, 2);
  assert.equal(group.rank, rank % 2);
  assert.deepEqual(await allGatherObject(rank, { group }), mine);
  const x = full([3], rank);
  allReduce(x, { group });
  assert.deepEqual(
    numbersOf(x),
    Array.from({ length: 3 }, () => mine[0]! + mine[1]!),
  );
  const again = await newGroup(mine);
  assert.notEqual(again.name, group.name);
  await destroyProcessGroup(group);
  assert.throws(
    () => allReduce(full([1], 1), { group }),
    /there is no process group named "ranks \d,\d" in this process/,
  );
  allReduce(full([1], 1), { group: again });
  await assert.rejects(destroyProcessGroup(group), /was destroyed already/);
});

await check("a group in an order of its own", async () => {
  if (rank === 1 || rank === 3) {
    const group = await newGroup([3, 1]);
    assert.equal(group.rank, rank === 3 ? 0 : 1);
    assert.equal(group.groupRankOf(1), 1);
    assert.deepEqual(numbersOf(functional.allGatherTensor(fromArray([rank]), { group })), [3, 1]);
    const x = full([1], rank);
    broadcast(x, { src: 1, group });
    assert.deepEqual(numbersOf(x), [1]);
    assert.throws(
      () => broadcast(x, { src: 0, group }),
      /broadcast: src: rank 0 is not in group "ranks 3,1" \(ranks 3, 1\)/,
    );
  }
});

await check("a mesh of 2 x 2", async () => {
  const mesh = await initDeviceMesh("cpu", [2, 2], ["dp", "tp"]);
  assert.deepEqual(mesh.coordinate, [Math.floor(rank / 2), rank % 2]);
  assert.equal(mesh.axisSize("dp"), 2);
  assert.equal(mesh.localRank("tp"), rank % 2);
  assert.equal(mesh.rankAt([1, 0]), 2);
  const [dp, tp] = [mesh.group("dp"), mesh.group("tp")];
  assert.deepEqual(await allGatherObject(rank, { group: tp }), rank < 2 ? [0, 1] : [2, 3]);
  assert.deepEqual(await allGatherObject(rank, { group: dp }), rank % 2 === 0 ? [0, 2] : [1, 3]);
  // Both at once, in flight together.
  const [x, y] = [full([2], rank), full([2], rank)];
  const works = [allReduce(x, { group: dp, async: true }), allReduce(y, { group: tp, async: true })];
  await Promise.all(works);
  assert.deepEqual(
    numbersOf(x),
    [0, 0].map(() => (rank % 2) + (rank % 2) + 2),
  );
  assert.deepEqual(
    numbersOf(y),
    [0, 0].map(() => (rank < 2 ? 1 : 5)),
  );

  const slice = mesh.slice(["tp"]);
  assert.equal(slice.group(), tp, "a slice's groups are the mesh's own");
  assert.equal(slice.size, 2);
  assert.throws(
    () => mesh.group("dp", "tp"),
    /no group over the axes "dp", "tp" together yet; `await mesh\.flatten\(\["dp", "tp"\]\)`/,
  );
  assert.throws(() => mesh.group("pp"), /no axis "pp"; this mesh has "dp", "tp"/);
  assert.equal(await mesh.flatten(["dp", "tp"]), world, "all ranks in their order: the world itself");
  const turned = await mesh.flatten(["tp", "dp"]);
  assert.deepEqual(turned.ranks, [0, 2, 1, 3]);
  assert.equal(mesh.group("tp", "dp"), turned);
  assert.deepEqual(await allGatherObject(rank, { group: turned }), [0, 2, 1, 3]);
});

await check("a mesh with axes of size 1", async () => {
  const mesh = await initDeviceMesh("cpu", [1, 4, 1], ["pp", "dp", "tp"]);
  assert.equal(mesh.group("dp"), world);
  assert.equal(mesh.group("pp").size, 1);
  const x = full([2], rank);
  allReduce(x, { group: mesh.group("tp") });
  assert.deepEqual(numbersOf(x), [rank, rank]);
});

await check("mistakes are refused before anybody waits", async () => {
  await assert.rejects(
    initDeviceMesh("cpu", [2, 3], ["dp", "tp"]),
    /dp=2 x tp=3 is 6 ranks, and the run has 4/,
  );
  await assert.rejects(newGroup([0, 4]), /expected ranks between 0 and 3, found 4/);
  await assert.rejects(newGroup([0, 1, 1, 2, 3]), /rank 1 is there twice/);
  const others = ranks.filter((r) => r !== rank);
  await assert.rejects(
    newGroup(others),
    new RegExp(`this process is rank ${rank}, which is not among the group's ranks`),
  );
});

// Groups are made through the store: its host, rank 0, mustn't leave before the others have theirs.
await barrier({ async: true });
await destroyProcessGroup();
leave();
