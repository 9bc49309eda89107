// Calls that can't end: a rank that doesn't come, a rank that is killed. Each rank notes how its call ended.
import { setTimeout as sleep } from "node:timers/promises";

import {
  allGatherObject,
  allReduce,
  barrier,
  CommError,
  destroyProcessGroup,
  functional,
  irecv,
  newGroup,
  recv,
  send,
} from "../../../src/comm/index.ts";
import { full } from "../../../src/torch/index.ts";
import { joinWorld, leave, rank, size, tell } from "../rank.ts";

const mode = process.argv[2]!;
const limit = 3;
/** Of a call that may wait for a save on another rank. */
const patience = { timeoutSeconds: 600 };
await joinWorld({ timeoutSeconds: limit, verify: mode === "mismatch" });
const even = mode === "subgroup" && rank < 2 ? await newGroup([0, 1], { timeoutSeconds: 2 }) : undefined;

barrier();
const last = size - 1;
const began = performance.now();
try {
  if (mode === "late") {
    if (rank === last) await sleep(7_000);
    allReduce(full([10], 1), { timeoutSeconds: 2 });
  } else if (mode === "late-async") {
    if (rank === last) await sleep(7_000);
    else await functional.allReduce(full([10], 1), { async: true });
  } else if (mode === "late-recv") {
    if (rank === last) await sleep(6_000);
    else if (rank === 0) recv(full([2], 0), last, { timeoutSeconds: 1 });
    else await irecv(full([2], 0), last, { timeoutSeconds: 1 });
  } else if (mode === "killed") {
    // In the middle of a stream of calls.
    const x = full([200_000], 1);
    for (let step = 0; ; step++) {
      if (rank === last && step === 5) process.kill(process.pid, "SIGKILL");
      allReduce(x, { op: "avg" });
    }
  } else if (mode === "killed-async") {
    if (rank === last) process.kill(process.pid, "SIGKILL");
    await allReduce(full([200_000], 1), { async: true });
  } else if (mode === "store-host-killed") {
    if (rank === 0) process.kill(process.pid, "SIGKILL");
    allReduce(full([10], 1));
  } else if (mode === "store-host-left") {
    if (rank === 0) process.exit(0);
    await sleep(2_000);
    await newGroup([rank]);
  } else if (mode === "mismatch") {
    allReduce(full([rank === last ? 11 : 10], 1));
  } else if (mode === "subgroup") {
    if (rank === 0) allReduce(full([10], 1), { group: even! });
    else await sleep(5_000);
  } else if (mode === "stopped") {
    if (rank === last) process.kill(process.pid, "SIGSTOP");
    // One rank awaits, one blocks, one waits for a message.
    if (rank === 0) await allGatherObject(rank, patience);
    else if (rank === 1) barrier(patience);
    else await irecv(full([2], 0), last, patience);
  } else if (mode === "store-host-stopped") {
    if (rank === 0) process.kill(process.pid, "SIGSTOP");
    await allGatherObject(rank, patience);
  } else if (mode === "slow") {
    // Its JavaScript is busy for longer than calls may take, three times.
    for (let i = 0; i < 3; i++) {
      if (rank === last) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * limit * 1000);
      await allGatherObject(rank, patience);
      if (rank === 0) recv(full([2], 0), last, patience);
      else if (rank === last) send(full([2], 0), 0);
    }
  } else throw new Error(`no mode ${mode}`);
  tell({ note: "ended", value: "well" });
} catch (error) {
  const seconds = (performance.now() - began) / 1000;
  const fields = error instanceof CommError ? Object.fromEntries(Object.entries(error)) : undefined;
  tell({
    note: "ended",
    value: { name: (error as Error).name, message: (error as Error).message, fields, seconds },
  });
  if (mode.includes("stopped")) {
    const leaving = performance.now();
    await destroyProcessGroup();
    tell({ note: "left", value: (performance.now() - leaving) / 1000 });
  }
  if (mode === "late" && rank === 0) {
    const again = performance.now();
    try {
      allReduce(full([10], 1));
    } catch (later) {
      tell({
        note: "again",
        value: { message: (later as Error).message, seconds: (performance.now() - again) / 1000 },
      });
    }
  }
}
// The host of the store stays until the others have asked who is missing.
if (rank === 0) await sleep(4_000);
leave();
process.exit(0);
