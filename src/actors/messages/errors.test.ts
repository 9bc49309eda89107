import assert from "node:assert/strict";
import test from "node:test";

import { UserError } from "../../util/index.ts";
import { attachErrors, fromWire, lastOutput, toWire, workerDied } from "./errors.ts";

test("an error crosses with name, message, stack and cause, and learns its rank", () => {
  const error = new RangeError("too far", { cause: new UserError("lost", { exitCode: 2 }) });
  const wire = structuredClone(toWire(error));
  const there = fromWire(wire, 1);
  assert.equal(there.name, "RangeError");
  assert.equal(there.message, "too far");
  assert.equal(there.stack, error.stack);
  assert.equal(there.rank, 1);
  assert.ok(there.cause instanceof UserError && there.cause.exitCode === 2);
  const named = fromWire(wire, 1, "rank 1");
  assert.equal(named.message, "rank 1: too far");
  assert.match(named.stack!, /^RangeError: rank 1: too far\n {4}at /);
  assert.equal(fromWire(toWire("text"), 0).message, "text");
  assert.ok(fromWire(toWire(new UserError("x")), 0) instanceof UserError);
});

test("the first error wins, later ones are attached", () => {
  const first = new Error("setup failed");
  const later = new Error("cleanup failed");
  assert.equal(attachErrors(first, []), first);
  assert.equal(attachErrors(first, [first]).message, "setup failed");
  const both: Error & { suppressed?: Error[] } = attachErrors(first, [later]);
  assert.equal(both, first);
  assert.deepEqual(both.suppressed, [later]);
  assert.equal(both.message, "setup failed\nThen also: cleanup failed");
  assert.match(both.stack!, /^Error: setup failed\nThen also: cleanup failed\n {4}at /);
});

test("a death says who, how, what it wrote last, and what to do", () => {
  const death = { rank: 1, worldSize: 1, code: null, lastOutput: [] } as const;
  assert.equal(
    workerDied({ ...death, signal: "SIGKILL" }).message,
    "the worker process was ended by SIGKILL. If you didn't end it, the system most likely ran out of memory: lower training.local_batch_size or training.seq_len.",
  );
  const full = {
    ...death,
    worldSize: 2,
    signal: null,
    code: 3,
    lastOutput: lastOutput(["a", "b", ""], "logs/rank-1.log"),
  };
  const error = workerDied(full);
  assert.equal(error.rank, 1);
  assert.equal(
    error.message,
    "the worker process of rank 1 ended with code 3. It called process.exit(), or an error that nothing caught ended it: what it wrote last says which.\nIts last lines:\na\nb\nIts log: logs/rank-1.log",
  );
});
