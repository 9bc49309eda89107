import assert from "node:assert/strict";
import test from "node:test";

import { drawSchedule, messagesBetween, playSchedule } from "./schedule-check.ts";
import {
  makeForwardSchedule,
  makeSchedule,
  ranksOfStages,
  scheduleNames,
  type Schedule,
} from "./schedule.ts";

void test("every schedule runs through for all numbers of ranks and microbatches, forward alone, too", () => {
  for (const name of scheduleNames)
    for (let ranks = 2; ranks <= 8; ranks++)
      for (let microbatches = 1; microbatches <= 20; microbatches++) {
        const { bubble } = playSchedule(makeSchedule(name, ranks, microbatches));
        assert.ok(bubble >= 0 && bubble < 1, `${name} ${ranks} ${microbatches}: ${bubble}`);
        playSchedule(makeForwardSchedule(name, ranks, microbatches));
      }
});

void test("idle time: (p - 1) / (m + p - 1) for 1F1B and GPipe, less interleaved, least with split gradients", () => {
  for (const [p, m] of [
    [2, 4],
    [4, 8],
    [4, 16],
    [8, 32],
  ] as const) {
    const bubbleOf = (name: (typeof scheduleNames)[number]): number =>
      playSchedule(makeSchedule(name, p, m)).bubble;
    const formula = (p - 1) / (m + p - 1);
    assert.ok(Math.abs(bubbleOf("1F1B") - formula) < 1e-12, `1F1B ${p} ${m}`);
    assert.ok(Math.abs(bubbleOf("GPipe") - formula) < 1e-12, `GPipe ${p} ${m}`);
    // Each rank's first pass waits half as long with two stages a rank.
    const interleaved = (p - 1) / (2 * m + p - 1);
    assert.ok(Math.abs(bubbleOf("Interleaved1F1B") - interleaved) < 1e-12, `interleaved ${p} ${m}`);
    // At best the way down is idle alone: p - 1 passes of 6 m + p - 1.
    const least = (p - 1) / (6 * m + p - 1);
    assert.ok(Math.abs(bubbleOf("ZBVZeroBubble") - least) < 1e-12, `zero bubble ${p} ${m}`);
  }
});

void test("1F1B holds as many microbatches as ranks follow, GPipe all of them", () => {
  assert.deepEqual(playSchedule(makeSchedule("1F1B", 4, 16)).held, [4, 3, 2, 1]);
  assert.deepEqual(playSchedule(makeSchedule("GPipe", 4, 16)).held, [16, 16, 16, 16]);
  // Two stages a rank, half as large each: no more than 1F1B's first rank.
  const { held } = playSchedule(makeSchedule("ZBVZeroBubble", 4, 16));
  assert.ok(Math.max(...held) <= 8, held.join(" "));
});

void test("stages go round the ranks, or down and up in a V", () => {
  assert.deepEqual(ranksOfStages("1F1B", 3), [0, 1, 2]);
  assert.deepEqual(ranksOfStages("Interleaved1F1B", 3), [0, 1, 2, 0, 1, 2]);
  assert.deepEqual(ranksOfStages("ZBVZeroBubble", 3), [0, 1, 2, 2, 1, 0]);
});

void test("a schedule that can't run is refused with the pass at which it stands still", () => {
  const good = makeSchedule("1F1B", 2, 2);
  const changed = (order: Schedule["order"]): Schedule => ({ ...good, order });
  const [first, second] = good.order as [Schedule["order"][0], Schedule["order"][0]];
  // Rank 0 wants a gradient before it has sent what that is of.
  const backwardFirst = [first[2]!, first[0]!, first[1]!, first[3]!];
  assert.throws(() => playSchedule(changed([backwardFirst, second])), {
    message:
      "1F1B: stands still: rank 0 at backward of stage 0, microbatch 0; rank 1 at forward of stage 1, microbatch 0",
  });
  assert.throws(() => playSchedule(changed([first.slice(1), second])), {
    message: "1F1B: never: forward of stage 0, microbatch 0",
  });
  assert.throws(() => playSchedule(changed([[...first, first[0]!], second])), {
    message: "1F1B: twice: forward of stage 0, microbatch 0",
  });
  assert.throws(() => playSchedule(changed([second, first])), {
    message: "1F1B: on rank 0, which has not its stage: forward of stage 1, microbatch 0",
  });
});

void test("messages are listed in the sender's order, none within a rank", () => {
  const schedule = makeSchedule("ZBVZeroBubble", 2, 2);
  const forth = messagesBetween(schedule, 0, 1);
  assert.deepEqual(
    forth.filter(({ kind }) => kind === "forward").map(({ stage }) => stage),
    [0, 0],
  );
  assert.deepEqual(
    forth.filter(({ kind }) => kind === "backward").map(({ stage }) => stage),
    [3, 3],
  );
  // Stages 1 and 2 are both rank 1's.
  assert.ok(
    messagesBetween(schedule, 1, 0).every(({ kind, stage }) => (kind === "forward") === (stage === 2)),
  );
  assert.deepEqual(messagesBetween(schedule, 0, 0), []);
});

void test("the picture", () => {
  assert.equal(
    drawSchedule(makeSchedule("1F1B", 2, 3)),
    ["rank 0  0  1  .  .  0'    2  1'    .  2'", "rank 1  .  0  0'    1  1'    2  2'"].join("\n"),
  );
});
