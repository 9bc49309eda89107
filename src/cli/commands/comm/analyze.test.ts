import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { runCli } from "../../program.ts";
import { analyze } from "./analyze.ts";
import { readDumps, type Call, type Dump } from "./dumps.ts";
import { analysisLines } from "./text.ts";

type Given = Partial<Call> & { operation: string };

const allReduce: Given = {
  operation: "allReduce",
  op: "sum",
  dtype: "float32",
  inputs: [[4]],
  outputs: [[4]],
};
const broadcast: Given = { operation: "broadcast", peer: 0, dtype: "float32", inputs: [[4]], outputs: [[4]] };
const barrier: Given = { operation: "barrier" };
const open = (call: Given): Given => ({ ...call, state: "waiting" });

/** A rank's dump of these calls of the group "world", the first of them number `from`. */
function dump(rank: number, size: number, calls: readonly Given[], more: Partial<Dump> = {}, from = 1): Dump {
  const ranks = Array.from({ length: size }, (_, i) => i);
  let sequence = from - 1;
  const counts = new Map<string, number>();
  const entries = calls.map((call): Call => {
    const message = call.operation === "send" || call.operation === "recv";
    const pair = `${call.operation} ${call.peer} ${call.tag ?? 0}`;
    if (message) counts.set(pair, (counts.get(pair) ?? 0) + 1);
    return {
      group: "world",
      kind: message ? "message" : "collective",
      inputs: [],
      outputs: [],
      state: "completed",
      enqueued_at: 1,
      ...call,
      ...(message
        ? { tag: call.tag ?? 0, number: counts.get(pair)!, sequence: 0 }
        : { sequence: ++sequence }),
    };
  });
  const messages = [...counts].map(([pair, count]) => {
    const [direction, peer, tag] = pair.split(" ");
    return { direction: direction as "send" | "recv", peer: Number(peer), tag: Number(tag), count };
  });
  const world = { name: "world", ranks, last_enqueued: sequence, last_completed: 0, messages };
  return {
    version: 1,
    rank,
    world_size: size,
    pid: 1,
    time: 1,
    reason: "rank 0: timed out",
    failure: { kind: "timeout", group: "world", operation: "", sequence, message: "timed out" },
    calls: entries.length,
    groups: [world],
    entries,
    ...more,
  };
}

const lines = (dumps: readonly Dump[]): string => analysisLines("F", analyze(dumps)).join("\n");

void test("calls that agree and are through: nothing differs", () => {
  const calls = [allReduce, broadcast];
  const found = analyze([dump(0, 2, calls), dump(1, 2, calls)]);
  assert.deepEqual([found.findings, found.suspects, found.withoutDump], [[], [], []]);
  assert.match(
    lines([dump(0, 2, calls), dump(1, 2, calls)]),
    /^F: the last calls of 2 of 2 ranks\n\n.*agree/,
  );
});

void test("the ranks that are fewer are told, with what differs", () => {
  const cases: [Given, string][] = [
    [barrier, "operation"],
    [{ ...allReduce, op: "max" }, "reduce operation"],
    [{ ...allReduce, dtype: "float64" }, "dtype"],
    [{ ...allReduce, inputs: [[5]], outputs: [[5]] }, "input sizes, output sizes"],
  ];
  for (const [other, differs] of cases) {
    const dumps = [0, 2].map((rank) => dump(rank, 3, [barrier, open(allReduce)]));
    dumps.push(dump(1, 3, [barrier, open(other)]));
    const { findings, suspects } = analyze(dumps);
    assert.equal(findings.length, 1);
    assert.deepEqual([findings[0]!.kind, findings[0]!.sequence, suspects], ["mismatch", 2, [1]]);
    assert.equal(findings[0]!.differs!.join(", "), differs);
  }
});

void test("the same number of elements in another shape is the same call", () => {
  const calls = (shape: number[]): Given[] => [open({ ...allReduce, inputs: [shape], outputs: [shape] })];
  assert.equal(analyze([dump(0, 2, calls([4])), dump(1, 2, calls([2, 2]))]).findings[0]!.kind, "stalled");
});

void test("of two ranks, the one that left out a call is known by the calls before", () => {
  const before = [allReduce, broadcast, allReduce, broadcast];
  const dumps = [
    dump(0, 2, [...before, allReduce, open(broadcast)]),
    dump(1, 2, [...before, allReduce, open(allReduce)]),
  ];
  const { findings, suspects } = analyze(dumps);
  assert.deepEqual(suspects, [1]);
  assert.equal(findings[0]!.why, "left out or changed broadcast, which came after #3, a call like #5");
  assert.match(
    lines(dumps),
    /#6 of group "world": ranks make different calls \(operation\)\n {2}rank 0: broadcast, root rank 0, float32 \[4\], waiting\n {2}rank 1: allReduce \(sum\), float32 \[4\], waiting\n {2}rank 1 left out or changed broadcast/,
  );
  // Without such calls it may be either.
  assert.deepEqual(analyze([dump(0, 2, [open(broadcast)]), dump(1, 2, [open(allReduce)])]).suspects, [0, 1]);
});

void test("a rank that doesn't call, and waits for nobody, is the suspect; one that waits for others isn't", () => {
  const dumps = [
    dump(0, 3, [barrier, open(allReduce)]),
    dump(1, 3, [barrier, { ...open({ operation: "recv", peer: 2 }), outputs: [[4]] }]),
    dump(2, 3, [barrier]),
  ];
  const { findings, suspects } = analyze(dumps);
  assert.deepEqual(suspects, [2]);
  assert.deepEqual(
    findings.map(({ kind, sequence, absent }) => [kind, sequence, absent.map(({ rank }) => rank)]),
    [
      ["missing", 2, [1, 2]],
      ["missing", 1, [2]],
    ],
  );
  const text = lines(dumps);
  assert.match(text, /rank 1: not called; .*barrier, #1, ended; it waits in recv from rank 2, tag 0/);
  assert.match(text, /rank 2: not called; .*barrier, #1, ended; it waits in no call: see its log/);
  assert.match(text, /message 1 of group "world": not all ranks make the call recv/);
});

void test("a rank that left nothing comes first, with what the others knew of it", () => {
  const peers = [{ rank: 1, alive: false, sequence: 1, operation: "barrier", state: "completed" as const }];
  const dumps = [dump(0, 2, [barrier, { ...allReduce, state: "failed" }], { peers })];
  const found = analyze(dumps);
  assert.deepEqual([found.withoutDump, found.suspects], [[1], [1]]);
  assert.match(
    lines(dumps),
    /rank 1: wrote nothing down: .*; it showed no sign of life; the last that it told was barrier #1, completed\n\nLook first at rank 1\./,
  );
});

void test("an error of its own comes before those that wait for the rank", () => {
  const dumps = [
    dump(0, 2, [open(allReduce)], { reason: "rank 1: boom", failure: undefined }),
    dump(1, 2, [], { reason: "rank 1: boom", failure: undefined }),
  ];
  const { findings, suspects } = analyze(dumps);
  assert.deepEqual([findings.map(({ kind }) => kind), suspects], [["error", "missing"], [1]]);
  assert.match(lines(dumps), /rank 1 ended with an error: boom\n/);
});

void test("split sizes and messages that don't fit each other", () => {
  const exchange = (input: number[], output: number[]): Given =>
    open({
      operation: "allToAllSingle",
      dtype: "float32",
      inputs: [[4]],
      outputs: [[4]],
      input_splits: input,
      output_splits: output,
    });
  const exchanged = analyze([dump(0, 2, [exchange([1, 3], [1, 2])]), dump(1, 2, [exchange([2, 2], [4, 2])])]);
  assert.deepEqual(exchanged.findings[0]!.differs, [
    "split sizes: rank 0 sends 3 rows to rank 1, which expects 4",
  ]);
  const sent = { ...open({ operation: "send", peer: 1 }), dtype: "float32", inputs: [[3]] };
  const received = { ...open({ operation: "recv", peer: 0 }), dtype: "float32", outputs: [[4]] };
  const { findings } = analyze([dump(0, 2, [sent]), dump(1, 2, [received])]);
  assert.deepEqual(
    findings.map(({ kind, differs }) => [kind, differs]),
    [["mismatch", ["size"]]],
  );
});

void test("what one rank's memory has forgotten is left aside", () => {
  // Rank 0 remembers numbers 5 and 6 alone.
  const dumps = [
    dump(0, 2, [allReduce, open(barrier)], {}, 5),
    dump(1, 2, [barrier, barrier, barrier, barrier, allReduce]),
  ];
  const { findings, suspects } = analyze(dumps);
  assert.deepEqual(
    findings.map(({ kind, sequence }) => [kind, sequence]),
    [["missing", 6]],
  );
  assert.deepEqual(suspects, [1]);
});

void test("dumps are those of the newest start; a folder without any says where they come from", () => {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-dumps-"));
  try {
    assert.throws(
      () => readDumps(join(folder, "no")),
      /no: expected a folder with a flight recorder's files, found none/,
    );
    assert.throws(
      () => readDumps(folder),
      /expected rank-N\.json files, or folders that have them, found none\. They are written when a call between the ranks fails, with comm\.trace_buf_size above 0/,
    );
    for (const [name, rank] of [
      ["2026-01-01", 0],
      ["2026-01-02", 1],
    ] as const) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, `rank-${rank}.json`), JSON.stringify(dump(rank, 2, [])));
    }
    const found = readDumps(folder);
    assert.equal(found.folder, join(folder, "2026-01-02"));
    assert.deepEqual(
      found.dumps.map(({ rank }) => rank),
      [1],
    );
    writeFileSync(join(folder, "rank-0.json"), "{");
    assert.throws(() => readDumps(folder), /rank-0\.json: expected a flight recorder's JSON: /);
    writeFileSync(join(folder, "rank-0.json"), "{}");
    assert.throws(() => readDumps(folder), /expected a flight recorder's file of version 1, found another/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

void test("forge comm analyze prints the words, or JSON", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-dumps-"));
  const said: unknown[] = [];
  t.mock.method(console, "log", (text: unknown) => said.push(text));
  try {
    for (const [rank, calls] of [[barrier, open(allReduce)], [barrier]].entries())
      writeFileSync(join(folder, `rank-${rank}.json`), JSON.stringify(dump(rank, 2, calls)));
    assert.equal(await runCli(["comm", "analyze", folder]), 0);
    assert.match(
      String(said[0]),
      /#2 of group "world": not all ranks make the call allReduce\n.*\nLook first at rank 1\.$/s,
    );
    assert.equal(await runCli(["comm", "analyze", folder, "--json"]), 0);
    const { suspects, findings } = JSON.parse(String(said[1])) as ReturnType<typeof analyze>;
    assert.deepEqual([suspects, findings.length], [[1], 1]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
