import assert from "node:assert/strict";
import test from "node:test";
import { Ledger } from "./ledger.ts";

const long = { kind: "truncated", reason: "longer than training.seq_len (8)" } as const;

void test("ledgers of ranks add up; lines name the first rows of each reason", () => {
  const ranks = [0, 1].map((rank) => {
    const ledger = new Ledger();
    for (let row = 0; row < 4; row++) ledger.count(long, () => `r${rank}.jsonl:${row + 1}`);
    ledger.count({ kind: "trained" }, () => "");
    return ledger;
  });
  ranks[1]!.count({ kind: "bad", reason: "not JSON" }, () => "r1.jsonl:9");
  const sum = Ledger.sum(ranks.map(({ state }) => state));
  assert.deepEqual([sum.rows, sum.trained, sum.truncated, sum.dropped, sum.bad], [11, 2, 8, 0, 1]);
  assert.deepEqual(sum.lines, [
    "8 truncated: longer than training.seq_len (8) (r0.jsonl:1, r0.jsonl:2, r0.jsonl:3, …)",
    "1 bad: not JSON (r1.jsonl:9)",
  ]);
  ranks[0]!.count({ kind: "trained" }, () => "r0.jsonl:6", ["the chat template leaves out its tool calls"]);
  assert.deepEqual(
    [ranks[0]!.rows, ranks[0]!.trained],
    [6, 2],
    "a row that is trained in part is counted once",
  );
  assert.equal(ranks[0]!.lines[1], "1 incomplete: the chat template leaves out its tool calls (r0.jsonl:6)");
  assert.equal(sum.rows, 11, "the parts stay as they are");
  assert.deepEqual(Ledger.sum([]).lines, []);
});
