import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { UserError } from "../util/index.ts";
import { MetricsFile } from "./metrics-file.ts";
import { automaticName, checkFolder, RunFolder, withoutSecrets } from "./run-folder.ts";
import { readRunInfo, type RunInfo } from "./run-info.ts";
import { findRun, listRuns } from "./runs.ts";
import { evalRecord, stepRecord, temporaryFolder } from "./testing.ts";

const now = new Date("2026-11-22T23:10:05.123Z");
const options = (dumpFolder: string, name: string | null = null) => ({
  dumpFolder,
  name,
  model: "hf://HuggingFaceTB/SmolLM2-135M-Instruct",
  steps: 100,
  configYaml: "training:\n  steps: 100\n",
  now,
});
const infoOf = (path: string) => JSON.parse(readFileSync(join(path, "run.json"), "utf8")) as RunInfo;

test("a name is made of date, time and model", () => {
  assert.equal(automaticName("/models/My Model/", now), "2026-11-22_23-10-05_my-model");
  assert.equal(automaticName("hf://org/Qwen2.5-0.5B", now), "2026-11-22_23-10-05_qwen2.5-0.5b");
});

test("a run's folder holds configuration, environment and how it stands", () => {
  using dump = temporaryFolder();
  const folder = RunFolder.open({ ...options(join(dump.path, "deep", "er")), versions: { torch: "2.13.0" } });
  assert.equal(folder.name, "2026-11-22_23-10-05_smollm2-135m-instruct");
  assert.equal(folder.path, join(dump.path, "deep", "er", folder.name));
  assert.equal(readFileSync(join(folder.path, "config.yaml"), "utf8"), "training:\n  steps: 100\n");
  const environment = JSON.parse(readFileSync(join(folder.path, "environment.json"), "utf8")) as {
    versions: Record<string, string>;
    machine: { cores: number };
  };
  assert.equal(environment.versions["torch"], "2.13.0");
  assert.equal(environment.versions["node"], process.versions.node);
  assert.ok(environment.machine.cores > 0);
  assert.equal(infoOf(folder.path).status, "running");
  folder.end("failed", "out of memory");
  assert.equal(infoOf(folder.path).status, "failed");
  assert.equal(infoOf(folder.path).error, "out of memory");
  assert.equal(folder.resolve("checkpoint"), join(folder.path, "checkpoint"));
  assert.equal(folder.resolve("/elsewhere"), "/elsewhere");
});

test("two runs in the same second get two folders", () => {
  using dump = temporaryFolder();
  const [a, b] = [RunFolder.open(options(dump.path)), RunFolder.open(options(dump.path))];
  assert.equal(b.name, `${a.name}-2`);
});

test("a run that goes on in its folder keeps its beginning and its earlier configuration", () => {
  using dump = temporaryFolder();
  RunFolder.open(options(dump.path, "mine")).end("interrupted");
  const again = RunFolder.open({
    ...options(dump.path, "mine"),
    configYaml: "training:\n  steps: 200\n",
    now: new Date("2026-11-23T00:00:00Z"),
  });
  const info = infoOf(again.path);
  assert.equal(info.started, now.toISOString());
  assert.equal(info.starts, 2);
  assert.equal(info.status, "running");
  assert.equal(info.ended, undefined);
  assert.match(readFileSync(join(again.path, "config.yaml"), "utf8"), /200/);
  assert.match(readFileSync(join(again.path, "config.1.yaml"), "utf8"), /100/);
  RunFolder.open({ ...options(dump.path, "mine"), configYaml: "training:\n  steps: 200\n" });
  assert.ok(!existsSync(join(again.path, "config.2.yaml")));
});

test("a run that is going on is not started a second time", () => {
  using dump = temporaryFolder();
  const folder = RunFolder.open(options(dump.path, "mine"));
  // Process 1 is always there, and is not this one.
  writeFileSync(
    join(folder.path, "run.json"),
    JSON.stringify({ ...infoOf(folder.path), pid: 1, pidStarted: undefined }),
  );
  assert.throws(() => RunFolder.open(options(dump.path, "mine")), {
    name: "UserError",
    message: `job.name: a run is already going on in ${folder.path} (process 1 on ${hostname()}); stop it, or give another job.name`,
  });
});

test("another process with the number of one that died does not hold up its run", () => {
  using dump = temporaryFolder();
  const folder = RunFolder.open(options(dump.path, "mine"));
  const died = { ...infoOf(folder.path), pid: 1, pidStarted: "0.5" };
  writeFileSync(join(folder.path, "run.json"), JSON.stringify(died));
  // Where there is no /proc the two can't be told apart.
  if (existsSync("/proc/1/stat")) assert.equal(RunFolder.open(options(dump.path, "mine")).name, "mine");
  else assert.throws(() => RunFolder.open(options(dump.path, "mine")), /already going on/);
});

test("names and folders that can't be are refused with the key", () => {
  using dump = temporaryFolder();
  assert.throws(() => RunFolder.open(options(dump.path, "a/b")), {
    message:
      "job.name: expected a name without / and \\, found a/b; job.dump_folder says where the folder lies",
    exitCode: 2,
  });
  writeFileSync(join(dump.path, "file"), "");
  for (const attempt of [
    (folder: string) => checkFolder(folder, "job.dump_folder"),
    (folder: string) => RunFolder.open(options(folder)),
  ])
    assert.throws(
      () => attempt(join(dump.path, "file")),
      /^UserError: job\.dump_folder: can't write in .*file: .*file is a file, not a folder; give a folder that you can write to$/,
    );
  checkFolder(join(dump.path, "new"), "job.dump_folder");
  assert.deepEqual(readdirSync(join(dump.path, "new")), []);
});

test("tokens on the command line are not kept", () => {
  assert.deepEqual(
    withoutSecrets([
      "sft",
      "--hf-token",
      "hf_abcdefghijk",
      "--hf-token=abc",
      "hf_abcdefghijk",
      "--max-tokens",
      "5",
    ]),
    ["sft", "--hf-token", "***", "--hf-token=***", "***", "--max-tokens", "5"],
  );
});

test("runs are listed newest first, with their last numbers; a run whose process is gone died", () => {
  using dump = temporaryFolder();
  assert.deepEqual(listRuns(join(dump.path, "none")), []);
  const older = RunFolder.open({ ...options(dump.path, "older"), now: new Date("2026-11-20T00:00:00Z") });
  const metrics = new MetricsFile(older.metricsPath);
  metrics.write(evalRecord(0, 4));
  metrics.write(stepRecord(1));
  metrics.write(stepRecord(2));
  metrics.write(evalRecord(2, 1.75));
  metrics.close();
  older.end("finished");
  const newer = RunFolder.open(options(dump.path, "newer"));
  // A process id that no system gives.
  writeFileSync(join(newer.path, "run.json"), JSON.stringify({ ...infoOf(newer.path), pid: 2 ** 30 }));
  mkdirSync(join(dump.path, "no run"));
  writeFileSync(join(dump.path, "run.json"), "{}");
  const runs = listRuns(dump.path);
  assert.deepEqual(
    runs.map(({ name, status, step, loss, evalLoss }) => ({ name, status, step, loss, evalLoss })),
    [
      { name: "newer", status: "died", step: 0, loss: undefined, evalLoss: undefined },
      { name: "older", status: "finished", step: 2, loss: 1.5, evalLoss: 1.75 },
    ],
  );
  assert.equal(readRunInfo(join(dump.path, "no run")), undefined);
});

test("a run is found by path, name, beginning, and as latest", () => {
  using dump = temporaryFolder();
  for (const [name, day] of [
    ["first-a", 1],
    ["first-b", 2],
    ["second", 3],
  ] as const) {
    RunFolder.open({ ...options(dump.path, name), now: new Date(Date.UTC(2026, 0, day)) });
  }
  const found = (name: string) => findRun(name, dump.path).run.name;
  assert.equal(found("second"), "second");
  assert.equal(found("sec"), "second");
  assert.equal(found("latest"), "second");
  assert.equal(findRun(join(dump.path, "first-a"), "nowhere").run.name, "first-a");
  assert.throws(() => found("first"), {
    message: `2 runs begin with first in ${dump.path}; the runs there: first-b, first-a`,
  });
  assert.throws(
    () => found("third"),
    (error: unknown) => {
      assert.ok(error instanceof UserError);
      assert.equal(error.exitCode, 2);
      assert.equal(
        error.message,
        `there is no run third in ${dump.path}; the runs there: second, first-b, first-a`,
      );
      return true;
    },
  );
  assert.throws(
    () => findRun("x", join(dump.path, "none")),
    /there are no runs at all: give the folder .* \(--dir, in a notebook \{dir\}\)$/,
  );
});

test("a folder outside the run's own has one run at a time; a dead one's is taken over", () => {
  using temporary = temporaryFolder();
  const dump = temporary.path;
  const shared = join(dump, "shared");
  const first = RunFolder.open(options(dump, "first"));
  first.claim(join(first.path, "checkpoint"), "checkpoint.folder");
  assert.ok(!existsSync(join(first.path, "checkpoint")), "it is the run's anyway");
  first.claim(shared, "checkpoint.folder");
  const claim = join(shared, ".run.json");
  const held = JSON.parse(readFileSync(claim, "utf8")) as RunInfo;
  assert.equal(held.pid, process.pid);

  // Another process's: this one's parent is alive.
  const { pidStarted: _, ...others } = { ...held, pid: process.ppid };
  writeFileSync(claim, JSON.stringify(others));
  const second = RunFolder.open(options(dump, "second"));
  assert.throws(() => second.claim(shared, "checkpoint.folder"), {
    name: "UserError",
    message: `checkpoint.folder: the run ${first.path} (process ${process.ppid}) is saving in ${shared}; stop it, or give another checkpoint.folder`,
  });
  for (const gone of [
    JSON.stringify({ ...held, pidStarted: "1" }),
    JSON.stringify({ ...others, host: "another" }),
    "{",
  ]) {
    writeFileSync(claim, gone.replace(`"pid":${process.pid}`, `"pid":${process.ppid}`));
    second.claim(shared, "checkpoint.folder");
    assert.equal((JSON.parse(readFileSync(claim, "utf8")) as { run: string }).run, second.path);
  }
  second.end("finished");
  assert.deepEqual(readdirSync(shared), []);
});

test("a file is no folder of runs", () => {
  assert.throws(() => listRuns(import.meta.filename), {
    name: "UserError",
    message: `${import.meta.filename}: expected a folder of runs, found a file`,
  });
});
