// A process that ends or doesn't come must give an error in the others, in time, that says who is missing.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { launch, type Rank } from "./launch.ts";

interface Ended {
  name: string;
  message: string;
  seconds: number;
  fields?: {
    kind: string;
    group: string;
    collective: string;
    sequence: number;
    rank: number;
    elapsedSeconds: number;
  };
}

function ended(rank: Rank): Ended {
  const value = rank.notes.get("ended");
  assert.ok(value !== undefined, `rank ${rank.rank} did not tell how its call ended: ${rank.stderr}`);
  assert.notEqual(value, "well", `rank ${rank.rank}`);
  return value as Ended;
}

// Time-out or break, then the question who is missing (up to 2.5 s), on a machine that may be busy.
const slack = 6;

test("a rank that comes late: the others time out and name it", { timeout: 120_000 }, async () => {
  const ranks = await launch("failures", 3, { args: ["late"], limitSeconds: 60 });
  for (const rank of ranks.slice(0, 2)) {
    const { name, message, fields, seconds } = ended(rank);
    assert.equal(name, "CommError");
    assert.equal(fields!.kind, "timeout");
    assert.equal(fields!.collective, "allReduce");
    assert.equal(fields!.group, "world");
    assert.equal(fields!.rank, rank.rank);
    assert.equal(fields!.sequence, 2, "the barrier was the first");
    assert.match(
      message,
      new RegExp(
        `allReduce #2 timed out on rank ${rank.rank}, group "world" of 3 ranks after \\d\\.\\d s \\(limit 2\\.0 s\\)`,
      ),
    );
    assert.match(
      message,
      /rank 2: alive; it has not entered this call; its last one was barrier #1, finished/,
    );
    assert.match(message, /raise timeoutSeconds/);
    assert.ok(seconds >= 1.9 && seconds < 2 + slack, `${seconds} s`);
  }
  const again = ranks[0]!.notes.get("again") as { message: string; seconds: number };
  assert.match(
    again.message,
    /allReduce can't run on process group "world" any more, because an earlier call on it failed/,
  );
  assert.match(again.message, /allReduce #2 timed out/);
  assert.ok(again.seconds < 0.5, "and it is told at once");
});

test("a rank that comes late, awaited", { timeout: 120_000 }, async () => {
  const ranks = await launch("failures", 2, { args: ["late-async"], limitSeconds: 60 });
  const { fields, message, seconds } = ended(ranks[0]!);
  assert.equal(fields!.kind, "timeout");
  assert.match(message, /rank 1: alive; it has not entered this call/);
  assert.ok(seconds < 3 + slack, `${seconds} s`);
});

test("a message that doesn't come", { timeout: 120_000 }, async () => {
  const ranks = await launch("failures", 3, { args: ["late-recv"], limitSeconds: 60 });
  for (const rank of ranks.slice(0, 2)) {
    const { fields, message, seconds } = ended(rank);
    assert.equal(fields!.kind, "timeout");
    assert.equal(fields!.collective, "recv");
    assert.match(message, /recv #1 timed out on rank \d, group "world" of 3 ranks after \d\.\d s/);
    assert.ok(seconds < 1 + slack, `${seconds} s`);
  }
});

for (const [mode, size] of [
  ["killed", 2],
  ["killed", 4],
  ["killed-async", 4],
] as const) {
  test(
    `a rank of ${size} is killed in mid-call (${mode}): the others get an error`,
    { timeout: 120_000 },
    async () => {
      const ranks = await launch("failures", size, { args: [mode], limitSeconds: 60 });
      const victim = ranks.at(-1)!;
      assert.equal(victim.signal, "SIGKILL");
      for (const rank of ranks.slice(0, -1)) {
        const { name, fields, message, seconds } = ended(rank);
        assert.equal(name, "CommError", message);
        assert.ok(fields!.kind === "peer" || fields!.kind === "timeout", fields!.kind);
        assert.equal(fields!.collective, "allReduce");
        assert.ok(seconds < 3 + slack, `rank ${rank.rank}: ${seconds} s`);
        assert.equal(rank.code, 0, rank.stderr);
      }
      const first = ended(ranks[0]!);
      assert.match(first.message, new RegExp(`rank ${size - 1}: NO SIGN OF LIFE`));
    },
  );
}

test("the host of the store is killed: the others get an error", { timeout: 120_000 }, async () => {
  const ranks = await launch("failures", 3, { args: ["store-host-killed"], limitSeconds: 60 });
  assert.equal(ranks[0]!.signal, "SIGKILL");
  for (const rank of ranks.slice(1)) {
    const { name, message, seconds } = ended(rank);
    assert.equal(name, "CommError");
    assert.match(message, /the store at 127\.0\.0\.1:\d+ doesn't answer/);
    assert.ok(seconds < 3 + 5 + slack, `${seconds} s`);
  }
});

test(
  "the host of the store has left: a group can't be made, and that is said soon",
  { timeout: 120_000 },
  async () => {
    const ranks = await launch("failures", 3, { args: ["store-host-left"], limitSeconds: 60 });
    for (const rank of ranks.slice(1)) {
      const { message, seconds } = ended(rank);
      assert.match(
        message,
        /^group "ranks \d" \(ranks \d\) could not be made on rank \d: the store at 127\.0\.0\.1:\d+ doesn't answer any more: the process that hosts it \(usually rank 0, or the launcher\) is gone$/,
      );
      assert.ok(seconds < 2 + 2 + slack, `${seconds} s`);
    }
  },
);

/** Runs a mode in which one rank is stopped, as by the loss of its link, and ends that one when the others have ended. */
async function launchStopped(mode: string, size: number, stopped: number): Promise<Rank[]> {
  return await launch("failures", size, {
    args: [mode],
    limitSeconds: 60,
    onStart: (children) => {
      const others = children.filter((_, rank) => rank !== stopped);
      void Promise.all(others.map((child) => once(child, "exit"))).then(() =>
        children[stopped]!.kill("SIGKILL"),
      );
    },
  });
}

// The time that calls normally take, in which nothing is heard, and the question how far the others are.
const silence = 4 + 1 + 5;

test(
  "a rank gives no sign of life while others wait for it in calls that may take long: they are told who",
  { timeout: 120_000 },
  async () => {
    const ranks = await launchStopped("stopped", 4, 3);
    for (const rank of ranks.slice(0, 3)) {
      const { name, fields, message, seconds } = ended(rank);
      assert.equal(name, "CommError", message);
      assert.equal(fields!.kind, "peer");
      assert.match(
        message,
        /^(allGather #2|barrier #2|recv #1) failed on rank \d, group "world" of 4 ranks after \d+\.\d s: rank 3 has given no sign of life for 4 s: its process ended or is stopped, or its machine can't be reached\.\nThe other ranks:/,
      );
      assert.match(message, /rank 3: NO SIGN OF LIFE/);
      assert.ok(seconds < silence + slack, `${seconds} s`);
      // Gloo's threads still wait.
      assert.ok((rank.notes.get("left") as number) < 3, `${String(rank.notes.get("left"))} s`);
      assert.deepEqual({ code: rank.code, signal: rank.signal }, { code: 0, signal: null }, rank.stderr);
    }
  },
);

test(
  "the host of the store gives no sign of life while others wait long: they are told",
  { timeout: 120_000 },
  async () => {
    const ranks = await launchStopped("store-host-stopped", 3, 0);
    for (const rank of ranks.slice(1)) {
      const { fields, message, seconds } = ended(rank);
      assert.equal(fields!.kind, "peer");
      assert.match(
        message,
        /^allGather #2 failed on rank \d, .* the store at 127\.0\.0\.1:\d+ hasn't answered for 4 s: the process that hosts it \(usually rank 0, or the launcher\) is gone, or its machine can't be reached\.\n/,
      );
      assert.ok(seconds < silence + slack, `${seconds} s`);
      assert.deepEqual({ code: rank.code, signal: rank.signal }, { code: 0, signal: null }, rank.stderr);
    }
  },
);

test("a rank that is slow, but alive, may take longer than calls do", { timeout: 120_000 }, async () => {
  for (const rank of await launch("failures", 3, { args: ["slow"], limitSeconds: 60 }))
    assert.equal(rank.notes.get("ended"), "well", rank.stderr);
});

test("verify: shapes that differ among the ranks are told, not mixed up", { timeout: 120_000 }, async () => {
  const ranks = await launch("failures", 2, { args: ["mismatch"], limitSeconds: 60 });
  for (const rank of ranks) {
    const { message } = ended(rank);
    assert.match(
      message,
      /allReduce on rank \d, group "world": Detected mismatch between collectives on ranks/,
    );
    assert.match(message, /Tensor shapes: 1[01]\s?vs 1[01]/);
  }
});

test("a sub-group times out by its own limit and name", { timeout: 120_000 }, async () => {
  const ranks = await launch("failures", 3, { args: ["subgroup"], limitSeconds: 60 });
  const { fields, message } = ended(ranks[0]!);
  assert.equal(fields!.group, "ranks 0,1");
  assert.match(message, /allReduce #1 timed out on rank 0, group "ranks 0,1" of 2 ranks after \d\.\d s/);
  assert.doesNotMatch(message, /rank 2:/, "only members are asked after");
});
