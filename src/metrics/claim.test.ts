import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { temporaryFolder } from "./testing.ts";

const claim = pathToFileURL(join(import.meta.dirname, "claim.ts")).href;
const deadClaim = { run: "dead", status: "running", pid: 2 ** 22 - 1, host: hostname() };

/** Claims the folder at a given time in a process of its own, and holds it until it has been told to end. */
const contender = `
  const { claimFolder } = await import(${JSON.stringify(claim)});
  const [folder, at] = process.argv.slice(1);
  while (Date.now() < Number(at));
  const info = { status: "running", pid: process.pid, host: ${JSON.stringify(hostname())} };
  try { claimFolder(folder, "checkpoint.folder", "run " + process.pid, info); console.log("won"); }
  catch (error) { console.log(error.message); }
  process.stdin.resume();
`;

test("of several runs that find a dead one's claim at once, one gets the folder, and the others are told which", async () => {
  for (let round = 0; round < 3; round++) {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, ".run.json"), JSON.stringify(deadClaim));
    const at = String(Date.now() + 1_500);
    const contenders = Array.from({ length: 4 }, () =>
      spawn(process.execPath, ["--input-type=module", "--eval", contender, "--", folder.path, at]),
    );
    const said = await Promise.all(
      contenders.map(
        ({ stdout }) => new Promise<string>((done) => stdout.once("data", (data) => done(String(data)))),
      ),
    );
    const ended = contenders.map((one) => new Promise((done) => one.once("close", done)));
    for (const one of contenders) one.stdin.end();
    await Promise.all(ended);
    assert.equal(said.filter((line) => line === "won\n").length, 1, said.join(""));
    for (const line of said.filter((one) => one !== "won\n"))
      assert.match(line, /^checkpoint\.folder: the run run \d+ \(process \d+\) is saving in .*; stop it/);
    assert.deepEqual(readdirSync(folder.path), [".run.json"]);
  }
});
