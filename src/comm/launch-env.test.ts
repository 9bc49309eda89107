import assert from "node:assert/strict";
import { test } from "node:test";

import { UserError } from "../util/index.ts";
import { isLaunched, readLaunchEnv } from "./launch-env.ts";

const env = { RANK: "3", WORLD_SIZE: "8", MASTER_ADDR: "node0", MASTER_PORT: "29500" };

test("the variables of a plain launcher", () => {
  assert.deepEqual(readLaunchEnv(env), {
    rank: 3,
    worldSize: 8,
    localRank: 0,
    localWorldSize: 1,
    masterAddr: "node0",
    masterPort: 29500,
    agentStore: false,
    restartCount: 0,
    secret: "",
  });
  assert.equal(isLaunched(env), true);
  assert.equal(isLaunched({}), false);
});

test("torchrun's variables", () => {
  const torchrun = {
    ...env,
    LOCAL_RANK: "1",
    LOCAL_WORLD_SIZE: "2",
    TORCHELASTIC_USE_AGENT_STORE: "True",
    TORCHELASTIC_RESTART_COUNT: "2",
  };
  const read = readLaunchEnv(torchrun);
  assert.equal(read.localRank, 1);
  assert.equal(read.localWorldSize, 2);
  assert.equal(read.agentStore, true);
  assert.equal(read.restartCount, 2);
  assert.equal(read.secret, "");
});

const mistakes: [string, NodeJS.ProcessEnv, RegExp][] = [
  ["two missing", { RANK: "0", WORLD_SIZE: "1" }, /MASTER_ADDR and MASTER_PORT are not set/],
  ["one missing", { ...env, RANK: "" }, /; RANK is not set\. Start the processes with torchrun --no-python/],
  ["a word", { ...env, WORLD_SIZE: "two" }, /WORLD_SIZE: expected a whole number of 1 or more, found "two"/],
  ["a rank too high", { ...env, RANK: "8" }, /RANK: expected 0 to 7 \(WORLD_SIZE is 8\), found 8/],
  [
    "a port too high",
    { ...env, MASTER_PORT: "70000" },
    /MASTER_PORT: expected a whole number between 1 and 65535/,
  ],
];
for (const [what, given, message] of mistakes) {
  test(`${what} is refused`, () => {
    assert.throws(
      () => readLaunchEnv(given),
      (error) => error instanceof UserError && error.exitCode === 2 && message.test(error.message),
    );
  });
}

test("what the ranks of one run have in common, and other runs not", () => {
  const secret = (more: Record<string, string>): string =>
    readLaunchEnv({ RANK: "0", WORLD_SIZE: "1", MASTER_ADDR: "a", MASTER_PORT: "1", ...more }).secret;
  assert.equal(secret({ TORCHELASTIC_RUN_ID: "x" }), "torchrun x");
  assert.equal(secret({ SLURM_JOB_ID: "7", SLURM_STEP_ID: "0" }), "slurm 7.0");
  assert.equal(secret({ TORCHFORGE_STORE_SECRET: "s", TORCHELASTIC_RUN_ID: "x" }), "s");
});
