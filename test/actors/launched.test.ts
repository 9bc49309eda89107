// Under a launcher the process is one rank, and spawns nothing.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { forge, makePlace, metricsOf } from "../cli/forge.ts";
import { environment } from "../programs.ts";
import { freePort, torchrun } from "./torchrun.ts";

const place = makePlace();
after(() => rmSync(place.folder, { recursive: true, force: true }));
const program = join(import.meta.dirname, "toys", "launched.ts");

void suite("one rank of a launcher", { timeout: 600_000 }, () => {
  void test("plain variables: two processes meet, and spawn nothing", async () => {
    const port = String(await freePort());
    const run = async (rank: number) => {
      const { stdout } = await promisify(execFile)(process.execPath, [program, "phases"], {
        env: {
          ...environment,
          RANK: String(rank),
          WORLD_SIZE: "2",
          MASTER_ADDR: "127.0.0.1",
          MASTER_PORT: port,
        },
        timeout: 120_000,
      });
      return stdout;
    };
    assert.deepEqual(await Promise.all([run(0), run(1)]), [
      "rank 0 of 2 (0,1): sum 3, workers 0\n",
      "rank 1 of 2 (0,1): sum 3, workers 0\n",
    ]);
  });

  void test("torchrun: two nodes of one process each, on loopback", async () => {
    const outputs = await torchrun(2, [program, "phases"]);
    assert.deepEqual(
      outputs.map((text) => /^rank .*$/m.exec(text)?.[0]),
      ["rank 0 of 2 (0,1): sum 3, workers 0", "rank 1 of 2 (0,1): sum 3, workers 0"],
    );
  });

  void test("forge sft with RANK and WORLD_SIZE: the command's own process trains", async () => {
    const sft = (name: string, env: NodeJS.ProcessEnv) =>
      forge(["sft", "--config", place.config, "training.steps=4", `job.name=${name}`], { env });
    const spawned = await sft("spawned", {});
    assert.equal(spawned.code, 0, spawned.stderr);
    const log = join(place.folder, "probe.log");
    writeFileSync(log, "");
    const probe = pathToFileURL(join(import.meta.dirname, "..", "cli", "probe.mjs")).href;
    const launched = await sft("launched", {
      RANK: "0",
      WORLD_SIZE: "1",
      LOCAL_RANK: "0",
      MASTER_ADDR: "127.0.0.1",
      MASTER_PORT: String(await freePort()),
      NODE_OPTIONS: `--import=${probe}`,
      PROBE_LOG: log,
    });
    assert.equal(launched.code, 0, launched.stderr);
    const loaded = readFileSync(log, "utf8").trim().split("\n");
    assert.equal(
      loaded.filter((line) => line.startsWith("process ")).length,
      1,
      "no process but the command's",
    );
    assert.ok(loaded.some((line) => /^addon .*torchforge\.node$/.test(line)));
    const curve = (name: string) => metricsOf(join(place.folder, "outputs", name));
    assert.equal(curve("launched").size, 4);
    assert.deepEqual(curve("launched"), curve("spawned"));
    const bare = (text: string) =>
      text.replaceAll(/\b(spawned|launched)\b/g, "NAME").replaceAll(/ \| [\d,.]+ tokens\/s.*/g, "");
    assert.equal(bare(launched.stdout), bare(spawned.stdout), "the same screen");
  });
});
