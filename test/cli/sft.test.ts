// `forge sft` as a person runs it: to the end, stopped, resumed, wrong.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import { childrenOf, forge, gone, makePlace, metricsOf, start, type Running } from "./forge.ts";

const place = makePlace();
const outputs = join(place.folder, "outputs");
after(() => rmSync(place.folder, { recursive: true, force: true }));

const sft = (...args: string[]): string[] => ["sft", "--config", place.config, ...args];

/** A step of so many micro-batches that it can't end while the test looks. */
const endlessStep = ["training.global_batch_size=100000", "training.steps=2"];

void suite("forge sft", { timeout: 600_000 }, () => {
  void test("trains, saves what Hugging Face's tools load, and logs; Ctrl-C stops after a step and the same command goes on exactly", async () => {
    const whole = await forge(sft("job.name=whole"));
    assert.equal(whole.code, 0, whole.stderr);
    assert.match(whole.stdout, /^starts from the weights in /m);
    assert.match(whole.stdout, /^model .*\d.* parameters, float32, on CPU, 1 threads$/m);
    assert.match(whole.stdout, /^Step 1\/200 \| Loss: 7\.\d+/m);
    assert.match(whole.stdout, /^Step 200\/200 \| Loss: /m);
    assert.ok(!whole.stdout.includes("\u001b"), "no colours outside of a terminal");
    assert.match(whole.stdout, /^checkpoint {2}.*step-200$/m);
    assert.deepEqual(readdirSync(join(outputs, "whole", "checkpoint")).toSorted(), [
      "step-100",
      "step-150",
      "step-200",
      "step-200-hf",
      "step-50",
    ]);
    const exported = join(outputs, "whole", "checkpoint", "step-200-hf");
    assert.ok(whole.stdout.includes(`generate --model ${exported} --prompt`));
    for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
      assert.ok(existsSync(join(exported, name)), name);
    const expected = metricsOf(join(outputs, "whole"));
    assert.equal(expected.size, 200);
    assert.ok(expected.get(200)!.loss < expected.get(1)!.loss - 2, "the loss falls");

    const first = start(sft("job.name=stopped"));
    await first.shows(/Step 60\/200/);
    first.child.kill("SIGINT");
    const stopped = await first.ended;
    assert.equal(stopped.code, 130, stopped.stderr);
    assert.match(stopped.stdout, /stopping after this step, with a checkpoint; Ctrl-C again stops at once/);
    const at = Number(/^stopped after step (\d+); checkpoint /m.exec(stopped.stdout)![1]);
    assert.ok(at >= 60 && at < 200, `step ${at}`);
    assert.ok(
      stopped.stdout.includes(`\ngo on:      npx torchforge sft --config ${place.config} job.name=stopped\n`),
    );

    const resumed = await forge(sft("job.name=stopped"));
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.match(resumed.stdout, new RegExp(`^resumes after step ${at} of 200 from `, "m"));
    assert.deepEqual(metricsOf(join(outputs, "stopped")), expected);
    const weights = (run: string) => {
      const folder = join(outputs, run, "checkpoint", "step-200");
      const names = readdirSync(folder, { recursive: true }) as string[];
      const files = names.filter((name) => name.endsWith(".safetensors")).toSorted();
      assert.ok(files.length > 0);
      return files.map((name) => readFileSync(join(folder, name)));
    };
    assert.deepEqual(weights("stopped"), weights("whole"), "weights and optimizer, bit for bit");

    const files = (): Map<string, string> => {
      const names = readdirSync(join(outputs, "stopped"), { recursive: true, withFileTypes: true });
      const paths = names.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
      return new Map(
        paths.map((path) => [path, `${statSync(path).mtimeMs} ${readFileSync(path, "base64")}`]),
      );
    };
    const before = files();
    const again = await forge(sft("job.name=stopped"));
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stdout, /step-200 is already trained for 200 of 200 steps; raise training\.steps/);
    assert.deepEqual(files(), before, "a finished run that is started again changes nothing");

    const fixed = "lr_scheduler.warmup_steps=40";
    const onward = await forge(sft("job.name=stopped", "training.steps=204", fixed));
    assert.equal(onward.code, 0, onward.stderr);
    assert.match(onward.stdout, /^resumes after step 200 of 204 from /m);
    const longer = metricsOf(join(outputs, "stopped"));
    assert.deepEqual([...longer.keys()].slice(-5), [200, 201, 202, 203, 204]);
  });

  void test("SIGTERM stops after a step; without checkpoints it is said that nothing is saved", async () => {
    const run = start(sft("job.name=ended"));
    await run.shows(/^Step 2\/200/m);
    run.child.kill("SIGTERM");
    const { code, stdout } = await run.ended;
    assert.equal(code, 143);
    assert.match(stdout, /stopping after this step, with a checkpoint; SIGTERM again stops at once/);
    // The printed command goes on; here to the step that the run stopped at.
    const [, at] = /^stopped after step (\d+); checkpoint /m.exec(stdout)!;
    const [, printed] = /^go on: +npx torchforge (.*)$/m.exec(stdout)!;
    const resumed = await forge([...printed!.split(" "), `training.steps=${at}`]);
    assert.match(resumed.stdout, new RegExp(`step-${at} is already trained`));

    const unsaved = start(sft("job.name=unsaved", "checkpoint.enable=false"));
    await unsaved.shows(/^Step 2\/200/m);
    unsaved.child.kill("SIGINT");
    const ended = await unsaved.ended;
    assert.match(ended.stdout, /stopping after this step, without a checkpoint; Ctrl-C again stops at once/);
    assert.match(ended.stdout, /^stopped after step \d+; nothing was saved$/m);
  });

  void test("Ctrl-C twice stops at once, and leaves no process", async () => {
    const run = start(sft("job.name=twice", ...endlessStep));
    await run.shows(/^run folder/m);
    const [worker] = childrenOf(run.child.pid!);
    run.child.kill("SIGINT");
    await run.shows(/stopping after this step/);
    const begin = performance.now();
    run.child.kill("SIGINT");
    const { code } = await run.ended;
    assert.equal(code, 130);
    assert.ok(performance.now() - begin < 5000);
    assert.notEqual(await gone(worker!, 5), undefined);
  });

  void test("a reader that leaves doesn't end the training", async () => {
    const run = start(sft("job.name=unread"));
    await run.shows(/^Step 1\/200/m);
    run.child.stdout!.destroy();
    const { code, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    assert.equal(
      stderr,
      "note: nobody reads this output any more; training goes on, and the run's folder says how\n",
    );
    assert.ok(existsSync(join(outputs, "unread", "checkpoint", "step-200")));
  });

  void test("two runs can't save into one folder", async () => {
    const shared = `checkpoint.folder=${join(place.folder, "shared")}`;
    const first = start(sft("job.name=first", shared, ...endlessStep));
    await first.shows(/^run folder/m);
    const second = await forge(sft("job.name=second", shared));
    assert.equal(second.code, 1);
    assert.match(
      second.stderr,
      /^error: checkpoint\.folder: the run .*first \(process \d+\) is saving in .*shared; stop it, or give another checkpoint\.folder\n$/,
    );
    first.child.kill("SIGKILL");
    await first.ended;
  });

  void test("Ctrl-C before the first step ends without a checkpoint", async () => {
    const run = start(sft("job.name=early"));
    await run.shows(/^starts from the weights/m);
    run.child.kill("SIGINT");
    const { code, stdout } = await run.ended;
    assert.equal(code, 130);
    const at = Number(/^stopped after step (\d+)/m.exec(stdout)![1]);
    const saved = join(outputs, "early", "checkpoint");
    assert.equal(existsSync(saved) && readdirSync(saved).length > 0, at > 0);
  });

  void test("a run ends with the rows that it did not train as they are", async () => {
    const path = join(place.folder, "mixed.jsonl");
    const row = (output: string) => JSON.stringify({ instruction: "Say it", output });
    writeFileSync(path, [row("yes"), row("word ".repeat(400)), "{not JSON", row("no"), ""].join("\n"));
    const args = [`training.dataset=${path}`, "training.steps=2", "checkpoint.enable=false"];
    const found = await forge(sft(...args, "training.on_bad_row=skip"));
    assert.equal(found.code, 0, found.stderr);
    const told =
      /^of (\d+) rows that were read, (\d+) are whole\n {2}(\d+) (?:truncated|bad).*\n {2}(\d+) (?:truncated|bad)/m;
    const [rows, ...parts] = told.exec(found.stdout)!.slice(1).map(Number);
    assert.equal(
      parts.reduce((sum, part) => sum + part),
      rows,
    );
    assert.match(
      found.stdout,
      /^ {2}\d+ truncated: longer than training\.seq_len \(256\) \(.*mixed\.jsonl:2, /m,
    );
    assert.match(found.stdout, /^ {2}\d+ bad: not JSON.* \(.*mixed\.jsonl:3, /m);
  });

  void test("--dry-run measures and saves nothing; --print-config prints", async () => {
    const dry = await forge(sft("job.name=dry", "--dry-run"));
    assert.equal(dry.code, 0, dry.stderr);
    assert.match(
      dry.stdout,
      /^measured +[\d.]+ GiB of tensors at the peak of a step with the longest batch \(forecast [\d.]+ GiB\)\n +[\d.]+ s a step, .* for 200 steps at most$/m,
    );
    assert.ok(!existsSync(join(outputs, "dry")));
    // It stands where the run would begin, and says of it what is true.
    const resumed = await forge(sft("job.name=whole", "training.steps=300", "--dry-run"));
    assert.match(resumed.stdout, /^resumes after step 200 of 300 from .*whole.checkpoint.step-200$/m);
    const copied = await forge(sft("checkpoint.async_mode=async", "--dry-run"));
    assert.match(copied.stdout, /^memory .*for a copy from which checkpoints are written/m);
    const run = start(sft("job.name=dry", "--dry-run", ...endlessStep));
    await run.shows(/^memory/m);
    run.child.kill("SIGTERM");
    const { code, stdout } = await run.ended;
    assert.equal(code, 143);
    assert.doesNotMatch(stdout, /with a checkpoint/);
    const printed = await forge(sft("--print-config", "training.steps=7"));
    assert.equal(printed.code, 0);
    assert.match(printed.stdout, /^ +steps: 7\b/m);
  });

  void test("what is wrong is one line, before a model is loaded", async () => {
    const cases: [args: string[], code: number, message: RegExp][] = [
      [sft("training.stepz=1"), 2, /^error: .*training\.stepz.*training\.steps/],
      [sft("training.steps=0"), 2, /^error: .*training\.steps/],
      [sft("training.dataset=nowhere.jsonl"), 2, /^error: training\.dataset: .*nowhere\.jsonl/],
      [sft("model.hf_assets_path=./nowhere"), 2, /^error: model\.hf_assets_path: .*nowhere/],
      [
        sft("model.name=llama3", "model.flavor=8B"),
        2,
        /^error: model\.flavor: llama3 8B has hidden_size 4096/,
      ],
      [["sft", "--config", "nowhere.yaml"], 2, /^error: .*nowhere\.yaml/],
    ];
    for (const [args, code, message] of cases) {
      const found = await forge(args);
      assert.match(found.stderr, message);
      assert.equal(found.code, code, found.stderr);
      assert.ok(!found.stderr.includes("\n    at "), "no stack");
      assert.ok(!/torch|traceback/i.test(found.stdout.replaceAll("torchforge", "")), found.stdout);
    }
  });

  void test("a loss that is no number ends the run; the last checkpoint is intact", async () => {
    const broken = await forge(
      sft(
        "job.name=nan",
        "optimizer.lr=1e30",
        "lr_scheduler.warmup_steps=0",
        "checkpoint.enable_first_step_checkpoint=true",
      ),
    );
    assert.equal(broken.code, 1, broken.stdout);
    assert.match(
      broken.stderr,
      /^error: step 2: the (loss|gradient norm) is (NaN|-?Infinity) \(learning rate 9\.95e\+29; data rows [\d, …]+\)\. The weights were not changed and the last checkpoint is intact\. Lower optimizer\.lr/m,
    );
    assert.ok(!broken.stderr.includes("\n    at "));
    assert.deepEqual(readdirSync(join(outputs, "nan", "checkpoint")), ["step-1"]);
    const info = JSON.parse(readFileSync(join(outputs, "nan", "run.json"), "utf8")) as { status: string };
    assert.equal(info.status, "failed");
  });

  void test("a worker that is killed ends the run with a message", async () => {
    const run = start(sft("job.name=killed", ...endlessStep));
    await run.shows(/^run folder/m);
    process.kill(childrenOf(run.child.pid!)[0]!, "SIGKILL");
    const { code, stderr } = await run.ended;
    assert.equal(code, 1);
    assert.ok(
      stderr.endsWith(
        "\nNo checkpoint was saved yet.\nThe same command begins anew: " +
          `npx torchforge sft --config ${place.config} job.name=killed ${endlessStep.join(" ")}\n`,
      ),
      stderr,
    );
    assert.match(
      stderr,
      /^error: the worker process was ended by SIGKILL\. If you didn't end it, the system most likely ran out of memory: lower training\.local_batch_size or training\.seq_len\./m,
    );
    assert.ok(!stderr.includes("\n    at "));
  });

  void test("a rank that hangs ends the others' run with a sentence: who, what is saved, which command goes on", async () => {
    const args = [
      "job.name=hangs",
      "checkpoint.interval=5",
      "training.packed=false",
      "parallelism.data_parallel_shard_degree=2",
      "comm.train_timeout_seconds=2",
    ];
    const port = String(29_900 + (process.pid % 90));
    const [first, second] = [0, 1].map((rank) => {
      const number = String(rank);
      const launched = { RANK: number, LOCAL_RANK: number, WORLD_SIZE: "2", LOCAL_WORLD_SIZE: "2" };
      const env = { ...launched, MASTER_ADDR: "127.0.0.1", MASTER_PORT: port, OMP_NUM_THREADS: "1" };
      return start(sft(...args), { env });
    }) as [Running, Running];
    await first.shows(/Step 8\/200/);
    second.child.kill("SIGSTOP");
    const { code, stderr } = await first.ended;
    second.child.kill("SIGKILL");
    assert.equal(code, 1);
    assert.match(stderr, /^error: \w+ #\d+ (timed out|failed) on rank 0, group "[^"]+" of 2 ranks /m);
    assert.match(stderr, /^ {2}rank 1: NO SIGN OF LIFE/m);
    const latest = /^The latest checkpoint is whole: (.*)$/m.exec(stderr)?.[1];
    assert.match(latest ?? stderr, /hangs\/checkpoint\/step-\d*[05]$/);
    assert.ok(
      stderr.endsWith(
        "\nThe same command goes on from there, on every rank, as its launcher starts it: " +
          `npx torchforge sft --config ${place.config} ${args.join(" ")}\n`,
      ),
      stderr,
    );
    assert.ok(!stderr.includes("\n    at "), stderr);
  });

  void test("a controller that is killed takes its worker along", async () => {
    const run = start(sft("job.name=orphan", ...endlessStep));
    await run.shows(/^run folder/m);
    const [worker] = childrenOf(run.child.pid!);
    run.child.kill("SIGKILL");
    assert.notEqual(await gone(worker!, 5), undefined, "gone within 5 seconds");
  });

  void test("a broken model folder says which file", async () => {
    const folder = join(place.folder, "broken");
    const { cpSync } = await import("node:fs");
    cpSync(place.model, folder, { recursive: true });
    const weights = readFileSync(join(folder, "model.safetensors"));
    writeFileSync(join(folder, "model.safetensors"), weights.subarray(0, weights.length - 100));
    const found = await forge(sft(`model.hf_assets_path=${folder}`));
    assert.equal(found.code, 1);
    assert.match(found.stderr, /^error: .*model\.safetensors/m);
    assert.ok(!found.stderr.includes("\n    at "));
  });
});
