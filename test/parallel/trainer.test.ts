// The trainer in several ranks, from a configuration: its losses are those of one process over the same rows, it resumes bit
// for bit, and all ranks stop, fail and evaluate together.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";

import { analyze } from "../../src/cli/commands/comm/analyze.ts";
import { readDumps } from "../../src/cli/commands/comm/dumps.ts";
import { readMetrics } from "../../src/metrics/index.ts";
import type { TrainerResult } from "../../src/train/index.ts";
import { launch, type Rank } from "../comm/launch.ts";
import {
  assertSameLosses,
  assertSameWeights,
  branch,
  configFile,
  exported,
  noted,
  runOf,
  script,
  stepFolder,
  tensorsAt,
  train,
} from "./trainer-runs.ts";

const strategies = {
  replicate: "parallelism.data_parallel_replicate_degree=2",
  shard: "parallelism.data_parallel_shard_degree=2",
};

/** Whole runs that several tests look at, and go on from their checkpoints of step 3. */
const whole = {
  one: once(() => train("one", 1, exported, "", { anew: true })),
  replicate: once(() => train("replicate-two", 2, [strategies.replicate])),
  shard: once(() => train("shard-two", 2, [strategies.shard], "", { anew: true })),
};
function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

for (const name of ["replicate", "shard"] as const) {
  const degrees = strategies[name];
  test(
    `${name}: two ranks train, evaluate, resume, stop and fail together`,
    { timeout: 3_000_000 },
    async (t) => {
      const one = await whole.one();
      const two = await whole[name]();

      await t.test("the losses are those of one process, also of the evaluation", () => {
        assertSameLosses(noted(two[0], "losses"), noted(one[0], "losses"));
        assertSameLosses(noted(two[0], "evals"), noted(one[0], "evals"));
        assert.equal(noted<TrainerResult>(two[0], "result").status, "finished");
      });

      if (name === "shard") {
        await t.test("no rank ever holds the whole model, also while it loads", () => {
          const memory = (rank: Rank | undefined) =>
            noted<{ currentBytes: number; peakBytes: number }>(rank, "memory");
          for (const rank of two) {
            const { currentBytes, peakBytes } = memory(rank);
            // Half of everything, and some small tables that all ranks have.
            assert.ok(currentBytes <= 0.55 * memory(one[0]).currentBytes, `${currentBytes} bytes`);
            assert.ok(peakBytes <= 0.55 * memory(one[0]).peakBytes, `${peakBytes} bytes at the peak`);
          }
        });
      }

      await t.test("rank 0 alone writes and tells", () => {
        assert.deepEqual(noted(two[1], "losses"), []);
        assert.deepEqual(noted(two[1], "notes"), []);
        assert.deepEqual(
          noted<TrainerResult>(two[1], "result").runFolder,
          noted<TrainerResult>(two[0], "result").runFolder,
        );
        const steps = readMetrics(join(runOf(`${name}-two`), "metrics.jsonl"))
          .filter(({ kind }) => kind === "train")
          .map((record) => record.step);
        assert.deepEqual(steps, [1, 2, 3, 4, 5, 6]);
      });

      await t.test("all stop at the step at which one was told to, and resume bit for bit", async () => {
        const stopped = await train(`${name}-resumed`, 2, [degrees], "stop@3");
        for (const rank of stopped) {
          const { status, step } = noted<TrainerResult>(rank, "result");
          assert.deepEqual({ status, step }, { status: "stopped", step: 4 });
        }
        const resumed = await train(`${name}-resumed`, 2, [degrees], "", { anew: true });
        assert.deepEqual(noted(resumed[0], "losses"), noted<number[]>(two[0], "losses").slice(4));
        const files = tensorsAt(`${name}-two`, 6);
        assert.equal(files.size, name === "shard" ? 4 : 2);
        assert.deepEqual(tensorsAt(`${name}-resumed`, 6), files);
      });

      await t.test("what is saved in the background is what is saved at once, and is resumed", async () => {
        const options = [degrees, "checkpoint.async_mode=async"];
        const saved = await train(`${name}-async`, 2, options);
        assert.deepEqual(noted(saved[0], "losses"), noted(two[0], "losses"));
        assert.match(noted<string[]>(saved[0], "notes").join("\n"), /^step 3: training waited [\d.]+ s/m);
        const files = tensorsAt(`${name}-two`, 3);
        assert.equal(files.size, name === "shard" ? 4 : 2);
        assert.deepEqual(tensorsAt(`${name}-async`, 3), files);
        assert.deepEqual(
          readdirSync(stepFolder(`${name}-async`, 3)),
          readdirSync(stepFolder(`${name}-two`, 3)),
        );
        const again = [...options, "checkpoint.load_step=3"];
        const resumed = await train(`${name}-async`, 2, again, "", { anew: true });
        assert.deepEqual(noted(resumed[0], "losses"), noted<number[]>(two[0], "losses").slice(3));
        assert.deepEqual(tensorsAt(`${name}-async`, 6), tensorsAt(`${name}-two`, 6));
      });

      await t.test("a loss that isn't finite ends all ranks at once", async () => {
        const failed = await train(`${name}-failed`, 2, [degrees], "nan@2");
        for (const rank of failed)
          assert.match(noted(rank, "error"), /^NonFiniteError: step 3: the loss is NaN/);
      });
    },
  );
}

test(
  "checkpoints move between numbers of ranks, and the last save is one process's",
  { timeout: 3_000_000 },
  async (t) => {
    const losses = noted<number[]>((await whole.one())[0], "losses");
    const degrees = ([replicate, shard]: readonly number[]): string[] => [
      `parallelism.data_parallel_replicate_degree=${replicate}`,
      `parallelism.data_parallel_shard_degree=${shard}`,
    ];
    // Replicas x shards.
    for (const [from, to] of [
      [
        [1, 2],
        [1, 1],
      ],
      [
        [1, 1],
        [1, 2],
      ],
      [
        [1, 2],
        [1, 4],
      ],
      [
        [2, 2],
        [2, 1],
      ],
    ] as const) {
      const [before, now] = [from[0] * from[1], to[0] * to[1]];
      await t.test(`from ${from.join(" x ")} to ${to.join(" x ")}`, async () => {
        const name = `moved-${from.join("x")}-${to.join("x")}`;
        if (before === 4) {
          await train(name, before, degrees(from), "stop@2");
        } else {
          await (before === 1 ? whole.one : whole.shard)();
          branch(name, before === 1 ? "one" : "shard-two", 3);
        }
        const shards = readdirSync(stepFolder(name, 3)).filter((file) => file.startsWith("shard-"));
        assert.equal(shards.length, from[1] > 1 ? 2 * from[1] : 0);
        const resumed = await train(name, now, [...degrees(to), ...exported]);
        // A step's rows are the same for every number of ranks, so the run goes on as if it had always had these.
        assertSameLosses(noted(resumed[0], "losses"), losses.slice(3));
        assert.ok(
          noted<string[]>(resumed[0], "notes").some((note) =>
            note.startsWith(`the checkpoint is of ${before} data-parallel ranks and this run has ${now}`),
          ),
        );
        assertSameWeights(name, "one");
      });
    }
  },
);

test(
  "a rank that dies while all save leaves the checkpoint before it whole, and the run resumes from that",
  { timeout: 1_500_000 },
  async () => {
    const shard = [strategies.shard];
    const straight = await whole.shard();
    const [first, last] = await train("dead", 2, shard, "die@6");
    assert.equal(last!.signal, "SIGKILL");
    assert.match(noted(first, "error"), /^other: .*the connection to another rank broke/s);
    const folder = join(runOf("dead"), "checkpoint");
    assert.deepEqual(
      readdirSync(folder).filter((name) => !name.startsWith(".")),
      ["step-3"],
    );
    const resumed = await train("dead", 2, shard, "", { anew: true });
    assert.deepEqual(noted(resumed[0], "losses"), noted<number[]>(straight[0], "losses").slice(3));
    assert.deepEqual(readdirSync(folder).sort(), ["step-3", "step-6"]);
    assert.deepEqual(tensorsAt("dead", 6), tensorsAt("shard-two", 6));
  },
);

test(
  "a rank that is late: the first step has its own limit, and the last calls are in the run's folder",
  { timeout: 1_500_000 },
  async () => {
    const shard = ["parallelism.data_parallel_shard_degree=2", "comm.trace_buf_size=500"];
    const limits = (init: number, steps: number): string[] => [
      `comm.init_timeout_seconds=${init}`,
      `comm.train_timeout_seconds=${steps}`,
    ];
    // It comes 5 s late to the first step and 12 s late to the third.
    const [first] = await train("late", 2, [...shard, ...limits(60, 3)], "late@2");
    assert.match(noted(first, "error"), /^other: .* timed out on rank 0, .* \(limit 3\.0 s\)/);
    assert.equal(noted<number[]>(first, "losses").length, 2);
    const { dumps } = readDumps(join(runOf("late"), "comm_traces"));
    const { ranks, suspects, findings } = analyze(dumps);
    assert.deepEqual([ranks, suspects, findings[0]!.kind], [[0, 1], [1], "missing"]);
    assert.match(findings[0]!.calls[0]!.call.site!, /^\/.*\.ts:\d+ < /);

    const [early] = await train("early", 2, [...shard, ...limits(2, 60)], "late@9");
    assert.match(noted(early, "error"), /^other: .* timed out on rank 0, .* \(limit 2\.0 s\)/);
    assert.deepEqual(noted(early, "losses"), []);
  },
);

test("a damaged part of a checkpoint is found", { timeout: 1_500_000 }, async () => {
  await whole.shard();
  branch("damaged", "shard-two", 3);
  const path = join(stepFolder("damaged", 3), "shard-00002-model-00001-of-00001.safetensors");
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
  const ranks = await launch(script, 2, {
    args: [configFile(), "", "job.name=damaged", "processes.procs=2", "training.packed=false"],
    limitSeconds: 900,
  });
  // The file's only chunk has its header, too, which every rank reads.
  for (const { code, stderr } of ranks) {
    assert.equal(code, 1);
    assert.match(stderr, /damaged: bytes \d+ to \d+ are not what was saved/);
  }
});

test(
  "an error of one rank's data ends all ranks, before the first step",
  { timeout: 1_500_000 },
  async () => {
    // Of which the second is rank 1's.
    const heldOut = join(dirname(configFile()), "heldout.jsonl");
    writeFileSync(
      heldOut,
      '{"instruction": "Say one", "output": "one"}\n{"instruction": 2, "output": "two"}\n',
    );
    const rows = `eval.datasets=[{path: ${heldOut}, format: instruction}]`;
    const ranks = await launch(script, 2, {
      args: [configFile(), "", "processes.procs=2", "job.name=one-bad", "training.seq_len=256", rows],
      limitSeconds: 900,
    });
    for (const { rank, code, stderr } of ranks) {
      assert.equal(code, 1);
      assert.match(stderr, /heldout\.jsonl:2: /);
      assert.equal(/rank 1: .*heldout\.jsonl:2: /.test(stderr), rank === 0);
    }
    assert.equal(existsSync(stepFolder("one-bad", 1)), false);
  },
);

test("what rank 0 refuses ends all ranks with its words", { timeout: 1_500_000 }, async () => {
  const ranks = await launch(script, 2, {
    args: [configFile(), "", "processes.procs=2", "job.name=a/b"],
    limitSeconds: 900,
  });
  for (const { rank, code, stderr } of ranks) {
    assert.equal(code, 1);
    const says = /job\.name: expected a name without \/ and \\, found a\/b/;
    assert.match(stderr, says);
    assert.equal(/rank 0: job\.name/.test(stderr), rank > 0);
  }
});

test("a configuration of other ranks than were started is refused", { timeout: 1_500_000 }, async () => {
  const ranks = await launch(script, 2, { args: [configFile(), "", "processes.procs=1"], limitSeconds: 900 });
  for (const { code, stderr } of ranks) {
    assert.equal(code, 1);
    assert.match(stderr, /processes\.procs: expected 2, the number of processes of this run, found 1\./);
  }
});
