import assert from "node:assert/strict";
import { test } from "node:test";

import { StepClock } from "./step-clock.ts";

test("times steps; the first, slow one does not count for the time left", () => {
  let now = 0;
  const clock = new StepClock(10, 0, () => now);
  now = 5000;
  assert.deepEqual(clock.tick(1, 1000), {
    step_seconds: 5,
    tokens_per_second: 200,
    seconds_left: 45,
    num_tokens: 1000,
  });
  now = 6000;
  assert.deepEqual(clock.tick(2, 500), {
    step_seconds: 1,
    tokens_per_second: 500,
    seconds_left: 8,
    num_tokens: 1500,
  });
});

test("restart leaves out an evaluation or a save", () => {
  let now = 0;
  const clock = new StepClock(10, 700, () => now);
  now = 1000;
  clock.tick(1, 100);
  now = 60_000;
  clock.restart();
  now = 61_000;
  const timing = clock.tick(2, 100);
  assert.equal(timing.step_seconds, 1);
  assert.equal(timing.num_tokens, 900);
});

test("one slow step does not change the forecast", () => {
  let now = 0;
  const clock = new StepClock(100, 0, () => now);
  for (let step = 1; step <= 10; step++) {
    now += step === 6 ? 30_000 : 1000;
    const timing = clock.tick(step, 100);
    assert.equal(timing.seconds_left, 100 - step);
  }
});
