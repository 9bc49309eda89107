import assert from "node:assert/strict";
import { test } from "node:test";

import type { StepRecord } from "../../metrics/index.ts";
import type { ActorMessage } from "../messages/events.ts";
import { Outbox } from "./outbox.ts";

const step = (n: number): ActorMessage => ({
  type: "record",
  record: { kind: "train", step: n } as StepRecord,
});
const note: ActorMessage = { type: "note", text: "x" };

test("short steps are sent in batches, long ones at once, everything in order", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const sent: ActorMessage[][] = [];
  const outbox = new Outbox((messages) => sent.push(messages));
  const after = (ms: number): void => {
    now += ms;
    t.mock.timers.tick(ms);
  };
  outbox.push(step(1));
  assert.deepEqual(sent, [[step(1)]]);
  for (let n = 2; n <= 4; n++) {
    after(60);
    outbox.push(step(n));
  }
  assert.equal(sent.length, 1);
  after(20); // a fifth of a second after the first
  assert.deepEqual(sent[1], [step(2), step(3), step(4)]);
  after(20);
  outbox.push(step(5));
  outbox.push(note); // can't wait, and doesn't overtake
  assert.deepEqual(sent[2], [step(5), note]);
  after(100);
  outbox.push(step(6));
  outbox.flush();
  outbox.flush();
  assert.deepEqual(sent.slice(3), [[step(6)]]);
  for (let n = 7; n < 10; n++) {
    after(250);
    outbox.push(step(n));
    assert.deepEqual(sent.at(-1), [step(n)]);
  }
  assert.equal(sent.length, 7);
});
