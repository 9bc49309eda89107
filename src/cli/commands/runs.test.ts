// `forge runs` and `forge plot`, as processes.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";

import { MetricsFile, RunFolder } from "../../metrics/index.ts";

const root = resolve(import.meta.dirname, "../../..");

function forge(...args: string[]) {
  return spawnSync(process.execPath, ["src/cli/main.ts", ...args], {
    cwd: root,
    encoding: "utf8",
    timeout: 60_000,
    env: { ...process.env, NO_COLOR: "1" },
  });
}

test("runs lists them, plot draws them", (t) => {
  const dump = mkdtempSync(join(tmpdir(), "forge-runs-"));
  t.after(() => rmSync(dump, { recursive: true, force: true }));
  const none = forge("runs", "--dir", dump);
  assert.equal(none.stdout, `no runs in ${dump}; give another folder with --dir\n`);

  const folder = RunFolder.open({
    dumpFolder: dump,
    name: "mine",
    description: "a try",
    model: "model",
    steps: 3,
    configYaml: "a: 1\n",
    now: new Date("2026-11-22T23:10:05Z"),
  });
  const empty = forge("plot", "mine", "--dir", dump);
  assert.equal(empty.status, 1);
  assert.match(empty.stderr, /^error: .*mine has no logged steps yet; train at least one step/);

  const metrics = new MetricsFile(folder.metricsPath);
  for (const step of [1, 2, 3]) {
    metrics.write({
      kind: "train",
      step,
      steps: 3,
      time: step,
      loss: 4 - step,
      learning_rate: 1e-5,
      grad_norm: 1,
      num_tokens: step,
      tokens_per_second: 1,
      step_seconds: 1,
      seconds_left: 0,
    });
  }
  metrics.close();
  folder.end("finished");
  assert.equal(
    forge("runs", "--dir", dump).stdout,
    [
      "run   status    step  loss    eval loss  started (UTC)",
      "mine  finished  3/3   1.0000  -          2026-11-22 23:10  a try",
      "",
    ].join("\n"),
  );
  const listed = JSON.parse(forge("runs", "--dir", dump, "--json").stdout) as {
    name: string;
    loss: number;
  }[];
  assert.deepEqual(
    listed.map(({ name, loss }) => ({ name, loss })),
    [{ name: "mine", loss: 1 }],
  );

  const plotted = forge("plot", "latest", "--dir", dump);
  assert.equal(plotted.stdout, `${join(folder.path, "plot.svg")}\n${join(folder.path, "plot.html")}\n`);
  assert.match(readFileSync(join(folder.path, "plot.svg"), "utf8"), /^<svg [^]*>tokens\/s<[^]*<\/svg>\n$/);
  assert.match(readFileSync(join(folder.path, "plot.html"), "utf8"), /^<!doctype html>[^]*<\/html>\n$/);

  const wrong = forge("plot", "mine", "--dir", dump, "--output", "chart.png");
  assert.equal(wrong.status, 2);
  assert.equal(wrong.stderr, "error: --output: expected a file ending in .svg or .html, found chart.png\n");
});
