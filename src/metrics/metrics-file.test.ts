import assert from "node:assert/strict";
import { appendFileSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { MetricsFile, readMetrics } from "./metrics-file.ts";
import { evalRecord, stepRecord, temporaryFolder } from "./testing.ts";

test("one JSON object a line, there as soon as it is written", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "run", "metrics.jsonl");
  const file = new MetricsFile(path);
  file.write(stepRecord(1));
  file.write(evalRecord(1, 2.5, "held-out"));
  const lines = readFileSync(path, "utf8").split("\n");
  assert.deepEqual(JSON.parse(lines[0]!), stepRecord(1));
  assert.deepEqual(JSON.parse(lines[1]!), evalRecord(1, 2.5, "held-out"));
  assert.equal(lines[2], "");
  file.close();
  assert.throws(() => file.write(stepRecord(2)), /metrics\.jsonl is closed/);
});

test("a diverged loss is told from a missing one", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "metrics.jsonl");
  const file = new MetricsFile(path);
  file.write(stepRecord(1, { loss: Number.NaN, grad_norm: Infinity }));
  file.write(evalRecord(1, 1, "NaN"));
  file.close();
  assert.match(readFileSync(path, "utf8"), /"loss":"NaN",.*"grad_norm":"Infinity"/);
  assert.deepEqual(readMetrics(path), [
    stepRecord(1, { loss: Number.NaN, grad_norm: Infinity }),
    evalRecord(1, 1, "NaN"),
  ]);
});

test("a resume removes what lies beyond its step and what a crash tore, and goes on", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "metrics.jsonl");
  const first = new MetricsFile(path);
  for (const step of [1, 2, 3, 4]) {
    first.write(stepRecord(step, { loss: 9 }));
    if (step % 2 === 0) first.write(evalRecord(step, 9));
  }
  first.close();
  appendFileSync(path, '{"kind":"train","step":5,"lo');

  const second = new MetricsFile(path, 2);
  second.write(stepRecord(3, { loss: 1 }));
  second.close();
  assert.deepEqual(
    readMetrics(path).map((record) => [record.kind, record.step, record.kind === "train" ? record.loss : 0]),
    [
      ["train", 1, 9],
      ["train", 2, 9],
      ["eval", 2, 0],
      ["train", 3, 1],
    ],
  );
  assert.equal(readFileSync(path, "utf8").split("\n").length, 5);
  assert.deepEqual(readdirSync(folder.path), ["metrics.jsonl"]);
});

test("a torn last line at the step of the resume does not run into the next", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "metrics.jsonl");
  const first = new MetricsFile(path);
  first.write(stepRecord(1));
  first.close();
  appendFileSync(path, '{"kind":"tr');
  const second = new MetricsFile(path, 1);
  second.write(stepRecord(2));
  second.close();
  assert.deepEqual(
    readMetrics(path).map(({ step }) => step),
    [1, 2],
  );
});

test("step 0 begins anew; a file that is not there has no records", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "metrics.jsonl");
  assert.deepEqual(readMetrics(path), []);
  for (const _ of [1, 2]) {
    const file = new MetricsFile(path);
    file.write(evalRecord(0, 3));
    file.write(stepRecord(1));
    file.close();
  }
  assert.equal(readMetrics(path).length, 2);
});
