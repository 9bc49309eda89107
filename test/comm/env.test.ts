// Launchers: plain variables, and torchrun's, whose agent hosts the store.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { Store } from "../../src/comm/index.ts";
import { launch } from "./launch.ts";

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

function variables(port: number, size: number, more: (rank: number) => NodeJS.ProcessEnv = () => ({})) {
  return (rank: number): NodeJS.ProcessEnv => ({
    RANK: String(rank),
    WORLD_SIZE: String(size),
    MASTER_ADDR: "127.0.0.1",
    MASTER_PORT: String(port),
    ...more(rank),
  });
}

test("a plain launcher: rank 0 hosts the store", { timeout: 90_000 }, async () => {
  const ranks = await launch("env", 3, { env: variables(await freePort(), 3), limitSeconds: 60 });
  for (const rank of ranks) {
    assert.equal(rank.code, 0, rank.stderr);
    assert.equal(rank.notes.get("error"), undefined);
    assert.deepEqual(rank.notes.get("ranks"), [{ rank: 0 }, { rank: 1 }, { rank: 2 }]);
  }
});

test("torchrun: its agent hosts the store, attempts don't meet", { timeout: 120_000 }, async () => {
  const agent = await Store.open({ host: "127.0.0.1", port: 0, isMaster: true });
  try {
    for (const attempt of [0, 1]) {
      const env = variables(agent.port, 2, (rank) => ({
        LOCAL_RANK: String(rank),
        LOCAL_WORLD_SIZE: "2",
        TORCHELASTIC_USE_AGENT_STORE: "True",
        TORCHELASTIC_RESTART_COUNT: String(attempt),
      }));
      const ranks = await launch("env", 2, { env, limitSeconds: 60 });
      for (const rank of ranks) {
        assert.equal(rank.code, 0, rank.stderr);
        assert.deepEqual(rank.notes.get("ranks"), [
          { rank: 0, local: "0" },
          { rank: 1, local: "1" },
        ]);
      }
    }
    assert.equal(await agent.check(["torchforge/attempt_0/alive/heartbeat/0"]), true);
    assert.equal(await agent.check(["torchforge/attempt_1/alive/heartbeat/1"]), true);
  } finally {
    await agent.close();
  }
});

test("a rank that never starts", { timeout: 90_000 }, async () => {
  const agent = await Store.open({ host: "127.0.0.1", port: 0, isMaster: true });
  const env = variables(agent.port, 2, () => ({ TORCHELASTIC_USE_AGENT_STORE: "True" }));
  const [rank] = await launch("env", 1, { env, args: ["3"], limitSeconds: 60 });
  await agent.close();
  assert.match(
    String(rank!.notes.get("error")),
    /UserError: group "world" \(ranks 0, 1\) could not be made on rank 0 within 3 s\. Check that every one of its ranks is running/,
  );
});

test("the example of docs/comm.md", { timeout: 90_000 }, async () => {
  const root = resolve(import.meta.dirname, "..", "..");
  const page = await readFile(join(root, "docs", "comm.md"), "utf8");
  const source = /```ts[^\n]*\n([\s\S]*?)```/
    .exec(page)![1]!
    .replaceAll(/"torchforge\/(\w+)"/g, (_, name: string) =>
      JSON.stringify(pathToFileURL(join(root, "src", name, "index.ts")).href),
    );
  const folder = await mkdtemp(join(tmpdir(), "torchforge-comm-"));
  try {
    const script = join(folder, "sum.ts");
    await writeFile(script, source);
    const env = variables(await freePort(), 2);
    const run = async (rank: number) => {
      const given = { ...process.env, OMP_NUM_THREADS: "1", ...env(rank) };
      return await promisify(execFile)(process.execPath, [script], { env: given, timeout: 60_000 });
    };
    const outputs = await Promise.all([run(0), run(1)]);
    for (const [rank, { stdout }] of outputs.entries()) {
      assert.equal(stdout, `rank ${rank}: [ 3, 3, 3 ]\nrank ${rank}: [ 0, 1 ]\n`);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
