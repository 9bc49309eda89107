// A run on two hosts, with latency and loss between them, whose link is cut: in training, and in a save. Both ranks end with an
// error that names the other one or the call that waited, the latest checkpoint is whole, and the same command goes on exactly.
// Run by itself, as root, since it takes minutes: `node --test test/hosts/hosts.ts`.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import { listCheckpoints } from "../../src/checkpoint/index.ts";
import { forgeCommand, makePlace, metricsOf, startProgram, type Ended, type Running } from "../cli/forge.ts";
import { canMakeHosts, firstAddress, makeNetwork, type Network } from "./network.ts";

const steps = 14;
const port = 29_400 + (process.pid % 500);

void suite("two hosts", { timeout: 900_000 }, () => {
  const place = makePlace();
  after(() => rmSync(place.folder, { recursive: true, force: true }));
  const runFolder = (name: string): string => join(place.folder, "outputs", name);
  const checkpoints = (name: string): string => join(runFolder(name), "checkpoint");

  /** Both ranks of a run, as a launcher on each host starts them. */
  function launchOn(network: Network, name: string): Running[] {
    const args = [
      "sft",
      "--config",
      place.config,
      `job.name=${name}`,
      `training.steps=${steps}`,
      "training.packed=false",
      "checkpoint.interval=4",
      "parallelism.data_parallel_shard_degree=2",
      "comm.train_timeout_seconds=10",
      "comm.init_timeout_seconds=60",
    ];
    return ([0, 1] as const).map((rank) =>
      startProgram([...network.on(rank), ...forgeCommand, ...args], {
        timeoutMs: 200_000,
        env: {
          RANK: String(rank),
          WORLD_SIZE: "2",
          LOCAL_RANK: "0",
          LOCAL_WORLD_SIZE: "1",
          MASTER_ADDR: firstAddress,
          MASTER_PORT: String(port),
          GLOO_SOCKET_IFNAME: "net0",
        },
      }),
    );
  }

  const finish = async (ranks: readonly Running[]): Promise<Ended[]> =>
    await Promise.all(ranks.map(({ ended }) => ended));

  function assertWell(ranks: readonly Ended[]): void {
    for (const { code, stdout, stderr } of ranks) assert.equal(code, 0, `${stdout}\n${stderr}`);
  }

  const stepsDone = (name: string): number => {
    const file = join(runFolder(name), "metrics.jsonl");
    return existsSync(file) ? (readFileSync(file, "utf8").match(/"kind":"train"/g)?.length ?? 0) : 0;
  };
  const isSaving = (name: string): boolean =>
    existsSync(checkpoints(name)) && readdirSync(checkpoints(name)).some((one) => one.includes(".tmp-"));

  async function until(met: () => boolean): Promise<void> {
    while (!met()) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  /** Loss and gradient norm of every step, and the weights and moments of the last. */
  const remains = (name: string) => {
    const folder = join(checkpoints(name), `step-${steps}`);
    const files = readdirSync(folder).filter((one) => one.endsWith(".safetensors"));
    return {
      metrics: [...metricsOf(runFolder(name))],
      files: files.map((one) => readFileSync(join(folder, one))),
    };
  };

  if (canMakeHosts())
    void test("a link that is cut in training or in a save loses nothing", async (t) => {
      await using network = await makeNetwork({ delayMs: 3, loss: 0.01, seed: 7 });
      assertWell(await finish(launchOn(network, "straight")));
      for (const [name, moment] of [
        ["training", () => stepsDone("training") === 6],
        ["save", () => stepsDone("save") >= 8 && isSaving("save")],
      ] as const)
        await t.test(`cut in ${name}`, async () => {
          const ranks = launchOn(network, name);
          const over = finish(ranks);
          await Promise.race([until(moment), over]);
          network.cut();
          const [first, second] = await over;
          network.join();
          for (const [rank, ended] of [first!, second!].entries()) {
            assert.equal(ended.code, 1, `${ended.stdout}\n${ended.stderr}`);
            assert.match(
              ended.stderr,
              new RegExp(`^error: \\w+ #\\d+ (timed out|failed) on rank ${rank}, group `, "m"),
            );
            // Rank 0 hosts the store, by which ranks know of each other.
            assert.match(
              ended.stderr,
              rank === 0 ? /^ {2}rank 1: NO SIGN OF LIFE/m : /the store at .* answer/,
            );
            assert.ok(!ended.stderr.includes("\n    at "), ended.stderr);
          }
          const { complete, broken } = listCheckpoints(checkpoints(name));
          assert.deepEqual(broken, []);
          assert.ok(complete.length > 0);
          assert.ok(
            first!.stderr.includes(`The latest checkpoint is whole: ${complete.at(-1)!.path}\n`),
            first!.stderr,
          );
          assertWell(await finish(launchOn(network, name)));
          assert.deepEqual(remains(name), remains("straight"));
        });
    });
});
