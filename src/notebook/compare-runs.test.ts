import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { RunFolder } from "../metrics/index.ts";
import { UserError } from "../util/index.ts";
import { compareRuns } from "./compare-runs.ts";
import { stepRecord } from "./testing.ts";

test("runs in a table and in one picture", (context) => {
  const dir = mkdtempSync(join(tmpdir(), "forge-compare-"));
  context.after(() => rmSync(dir, { recursive: true }));
  const run = (name: string, steps: number): RunFolder => {
    const folder = RunFolder.open({
      dumpFolder: dir,
      name,
      model: "m",
      steps: 10,
      configYaml: "",
      description: `<${name}>`,
    });
    const lines = Array.from({ length: steps }, (_, i) => `${JSON.stringify(stepRecord(i + 1))}\n`);
    writeFileSync(folder.metricsPath, lines.join(""));
    folder.end("finished");
    return folder;
  };
  const one = run("one", 3);
  run("two", 6);
  run("empty", 0);

  const both = compareRuns(undefined, { dir });
  const lines = String(both).split("\n");
  assert.equal(lines.length, 3);
  assert.match(String(both), /^one +finished +3\/10 +1\.0000 +– +1,536 +<one>$/m);
  assert.match(String(both), /^two +finished +6\/10 +0\.5000/m);
  const [, picture] = /src="data:image\/svg\+xml;base64,([^"]+)"/.exec(both.bundle["text/html"]!)!;
  const svg = Buffer.from(picture!, "base64").toString();
  assert.ok(svg.includes(">&lt;one&gt;</text>") && svg.includes(">&lt;two&gt;</text>"));
  assert.match(both.bundle["text/html"]!, /&lt;one&gt;/);

  // By name, by what a run returned, in the order given.
  const chosen = String(compareRuns(["two", { runFolder: one.path }], { dir })).split("\n");
  assert.deepEqual(
    chosen.slice(1).map((line) => line.split(" ")[0]),
    ["two", "one"],
  );
  assert.throws(
    () => compareRuns(["three"], { dir }),
    /^UserError: there is no run three in .*; the runs there: /,
  );
  assert.throws(
    () => compareRuns(["empty"], { dir }),
    /empty has no logged steps yet; train at least one step/,
  );
  for (const [runs, found] of [
    ["one", /expected a list of runs, \["…", …\], found 'one'$/],
    [[Promise.resolve(one)], /expected a run's name, .*; found a promise: write await before it$/],
    [[5], /found 5$/],
  ] as const)
    assert.throws(() => compareRuns(runs as never, { dir }), { name: "UserError", message: found });
  assert.throws(() => compareRuns(undefined, { dir: join(dir, "none") }), UserError);
});
