import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { test } from "node:test";

import { MetricLog, type MetricLogging } from "./metric-log.ts";
import { readMetrics } from "./metrics-file.ts";
import type { MetricRecord, MetricSink } from "./record.ts";
import { evalRecord, stepRecord, temporaryFolder } from "./testing.ts";

const logging: MetricLogging = {
  everySteps: 1,
  console: true,
  jsonl: true,
  tensorboard: "tensorboard",
};

const folderAt = (path: string) => ({
  path,
  resolve: (name: string) => (isAbsolute(name) ? name : join(path, name)),
});

test("opens what metric_logging asks for, in the run's folder", () => {
  using folder = temporaryFolder();
  const lines: string[] = [];
  const output = { write: (text: string) => lines.push(text) };
  const log = MetricLog.open(logging, folderAt(folder.path), 0, { output });
  log.write(stepRecord(1));
  log.line("saved");
  log.close();
  assert.match(lines[0]!, /^Step 1\/100 \| Loss: 3\.0000/);
  assert.equal(lines[1], "saved\n");
  assert.equal(readMetrics(join(folder.path, "metrics.jsonl")).length, 1);
  assert.equal(readdirSync(join(folder.path, "tensorboard")).length, 1);
});

test("what is switched off is not opened", () => {
  using folder = temporaryFolder();
  const off = { ...logging, jsonl: false, tensorboard: undefined };
  const log = MetricLog.open(off, folderAt(folder.path), 0, false);
  log.write(stepRecord(1));
  log.close();
  assert.deepEqual(readdirSync(folder.path), []);
});

test("every n-th step, the first after a start, the last, and every evaluation", () => {
  const written: MetricRecord[] = [];
  const log = new MetricLog({ memory: { write: (record) => written.push(record), close: () => {} } }, 10);
  for (let step = 3; step <= 25; step++) {
    log.write(stepRecord(step, { steps: 25 }));
    if (step === 7) log.write(evalRecord(7, 1));
  }
  assert.deepEqual(
    written.map(({ step }) => step),
    [3, 7, 10, 20, 25],
  );
});

test("a sink that fails is named once and left out; the others go on", () => {
  const written: number[] = [];
  const messages: string[] = [];
  const broken: MetricSink = {
    write: () => {
      throw new Error("ENOSPC: no space left on device");
    },
    close: () => {
      throw new Error("must not be closed again");
    },
  };
  const fine: MetricSink = { write: ({ step }) => written.push(step), close: () => written.push(0) };
  const log = new MetricLog({ "metrics.jsonl": broken, memory: fine }, 1, (message) =>
    messages.push(message),
  );
  log.write(stepRecord(1));
  log.write(stepRecord(2));
  log.close();
  assert.deepEqual(written, [1, 2, 0]);
  assert.deepEqual(messages, [
    "metrics.jsonl is not written any more: ENOSPC: no space left on device; training goes on",
  ]);
});
