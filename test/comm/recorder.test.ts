// The flight recorder in real processes: something goes wrong on the last rank, the ranks write down their last calls, and
// the analysis names that rank and the call. What analysis makes of other cases: src/cli/commands/comm/analyze.test.ts.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { analyze, type Analysis } from "../../src/cli/commands/comm/analyze.ts";
import { readDumps, type Dump } from "../../src/cli/commands/comm/dumps.ts";
import { launch, type Rank } from "./launch.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-recorder-"));
after(() => rmSync(work, { recursive: true, force: true }));

async function run(mode: string, size: number): Promise<{ ranks: Rank[]; dumps: Dump[]; found: Analysis }> {
  const folder = join(work, mode);
  const ranks = await launch("recorder", size, { args: [mode, folder], limitSeconds: 90 });
  const { dumps } = readDumps(folder);
  return { ranks, dumps, found: analyze(dumps) };
}

/** The calls of the world before something goes wrong: allReduce and broadcast, in turns. */
const wrongCall = 6;

test(
  "a rank that leaves out a call is named, with the call and its place",
  { timeout: 120_000 },
  async () => {
    const { ranks, dumps, found } = await run("leaves-out", 3);
    assert.deepEqual([found.ranks, found.withoutDump, found.suspects], [[0, 1, 2], [], [2]]);
    const [{ kind, group, sequence, calls, differs } = assert.fail()] = found.findings;
    assert.deepEqual([kind, group, sequence, differs], ["mismatch", "world", wrongCall, ["operation"]]);
    assert.deepEqual(
      calls.map(({ ranks: who, call }) => [who, call.operation, call.op, call.peer, call.dtype, call.inputs]),
      [
        [[0, 1], "broadcast", undefined, 0, "float32", [[4, 2]]],
        [[2], "allReduce", "sum", undefined, "float32", [[4, 2]]],
      ],
    );
    for (const { call } of calls) assert.match(call.site!, /ranks\/recorder\.ts:\d+$/);
    for (const { rank, entries, failure } of dumps) {
      const own = entries.filter((call) => call.group === "world");
      assert.deepEqual(own[0]!.sequence, 1);
      assert.deepEqual(own[0]!.state, "completed");
      assert.ok(own[0]!.ended_at! >= own[0]!.enqueued_at);
      assert.ok(failure === undefined || failure.group === "world", `rank ${rank}`);
    }
    for (const { notes } of ranks)
      assert.match(
        notes.get("ended") as string,
        /\nThe last calls of the ranks are in (.*): npx torchforge comm analyze \1\n/,
      );
  },
);

test(
  "a rank that is busy elsewhere writes what it has, though it calls nothing",
  { timeout: 120_000 },
  async () => {
    const { dumps, found } = await run("busy", 3);
    assert.deepEqual([found.ranks, found.suspects], [[0, 1, 2], [2]]);
    const [{ kind, sequence, absent } = assert.fail()] = found.findings;
    assert.deepEqual([kind, sequence, absent.map(({ rank }) => rank)], ["missing", wrongCall, [2]]);
    assert.deepEqual([absent[0]!.last!.operation, absent[0]!.last!.sequence], ["allReduce", wrongCall - 1]);
    // It was asked, and what it did later, when its turn came, isn't written over that.
    assert.match(dumps[2]!.reason, /^rank [01]: (broadcast #6|allReduce #7) timed out/);
  },
);

test("a rank that is killed leaves nothing, and is named by the others", { timeout: 120_000 }, async () => {
  const { ranks, found } = await run("killed", 3);
  assert.equal(ranks[2]!.signal, "SIGKILL");
  assert.deepEqual([found.ranks, found.withoutDump, found.suspects], [[0, 1], [2], [2]]);
  const [{ kind, sequence, absent } = assert.fail()] = found.findings;
  assert.deepEqual([kind, sequence], ["missing", wrongCall]);
  assert.equal(absent[0]!.known!.alive, false);
});

test("a rank that Gloo ends because of another size leaves its calls", { timeout: 120_000 }, async () => {
  const { ranks, found } = await run("other-size", 3);
  assert.equal(ranks[2]!.signal, "SIGABRT");
  assert.deepEqual([found.withoutDump, found.suspects], [[], [2]]);
  const [{ kind, sequence, differs } = assert.fail(), error] = found.findings;
  assert.deepEqual([kind, sequence, differs], ["mismatch", wrongCall, ["input sizes", "output sizes"]]);
  assert.match(error!.why!, /Received data size doesn't match expected size/);
});

test("a message that isn't sent", { timeout: 120_000 }, async () => {
  const { found } = await run("message", 2);
  assert.deepEqual(found.suspects, [1]);
  const [{ kind, sequence, calls } = assert.fail()] = found.findings;
  const { operation, peer, tag } = calls[0]!.call;
  assert.deepEqual([kind, sequence, operation, peer, tag], ["missing", 3, "recv", 1, 3]);
});

test("the memory is as long as was asked for", { timeout: 120_000 }, async () => {
  const { dumps } = await run("forgets", 2);
  for (const { calls, entries, groups } of dumps) {
    assert.deepEqual([calls, entries.length], [8, 4]);
    assert.deepEqual(
      entries.map(({ sequence }) => sequence),
      [5, 6, 7, 8],
    );
    assert.equal(groups.find(({ name }) => name === "world")!.last_completed, 8);
  }
});
