// The commands that take an adapter: a short run's, and what is refused.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { trainingProcess } from "../train/processes.ts";
import { makeTinyConfig, makeTinyModel } from "../train/tiny.ts";
import { start } from "./forge.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-adapter-cli-"));
after(() => rmSync(work, { recursive: true, force: true }));
const model = join(work, "model");
const adapter = join(work, "outputs", "run", "checkpoint", "step-2-hf");
let lines: readonly string[] = [];

before(async () => {
  makeTinyModel(model);
  const config = makeTinyConfig(work, model, 2);
  ({ lines } = await trainingProcess([
    config,
    "adapter.method=dora",
    "optimizer.lr=1e-2",
    "checkpoint.last_save_in_hf=true",
  ]));
});

void test("an export is compared with the model in memory", () => {
  const [line] = lines.filter((one) => one.startsWith("note parity"));
  assert.match(
    line!,
    /^note parity +largest difference of logits 0\.0e\+0 \(largest logit \d+\.\d\), greedy tokens agree 100\.0 %, over 8 texts read from the export$/,
  );
});

void test(
  "merge reads what it wrote; the merged model answers and measures as model and adapter",
  { timeout: 300_000 },
  async () => {
    const output = join(work, "merged");
    const merged = await start(["merge", "--adapter", adapter, "--output-dir", output]).ended;
    assert.equal(merged.code, 0, merged.stderr);
    assert.match(
      merged.stdout,
      /merged: .*model with an adapter, float32\nparity +largest difference of logits \d/,
    );
    const rows = join(work, "rows.jsonl");
    writeFileSync(
      rows,
      `${JSON.stringify({ instruction: "Say hello.", input: "", output: "Hello there." })}\n`,
    );
    const lossOf = async (...which: string[]): Promise<number> => {
      const { stdout, stderr } = await start(["eval", ...which, "--data", rows, "--json"]).ended;
      assert.ok(stdout.startsWith("{"), stderr);
      return (JSON.parse(stdout) as { loss: number }).loss;
    };
    const alone = await lossOf("--model", model);
    const together = await lossOf("--adapter", adapter);
    const whole = await lossOf("--model", output);
    assert.ok(Math.abs(together - whole) < 1e-5, `${together} ${whole}`);
    assert.ok(Math.abs(together - alone) > 1e-3, `${together} ${alone}`);

    const half = join(work, "half");
    const twice = ["--adapter", adapter, "--weight", "0.5", "--adapter", adapter, "--weight", "0.5"];
    const added = await start(["merge", ...twice, "--dtype", "bfloat16", "--output-dir", half]).ended;
    assert.match(added.stdout, /half: .*model with 2 adapters, bfloat16\nparity/, added.stderr);
    assert.ok(Math.abs((await lossOf("--model", half)) - whole) < 2e-2);
    assert.equal(
      (JSON.parse(readFileSync(join(half, "config.json"), "utf8")) as { torch_dtype: string }).torch_dtype,
      "bfloat16",
    );
  },
);

void test("what an adapter's folder isn't, is said", { timeout: 200_000 }, async () => {
  const refused = async (message: RegExp, ...args: string[]): Promise<void> => {
    const { code, stderr } = await start(args).ended;
    assert.equal(code, 2, stderr);
    assert.match(stderr, message);
  };
  await refused(
    /It holds an adapter \(LoRA\) of .*: give the model that it adapts, and this folder with --adapter/,
    "generate",
    "--model",
    adapter,
    "--prompt",
    "hi",
  );
  await refused(
    /--adapter: expected the folder of an adapter, with adapter_config\.json, found none at /,
    "merge",
    "--adapter",
    model,
    "--output-dir",
    join(work, "none"),
  );
  await refused(
    /--weight: expected one for each --adapter \(2\), found 1/,
    "merge",
    "--adapter",
    adapter,
    "--adapter",
    adapter,
    "--weight",
    "1",
    "--output-dir",
    join(work, "none"),
  );
  await refused(
    /--model: expected a model folder or hf:\/\/org\/name, found none/,
    "generate",
    "--prompt",
    "hi",
  );
  await refused(
    /--output-dir: expected a new or empty folder, found files in /,
    "merge",
    "--adapter",
    adapter,
    "--output-dir",
    model,
  );
});
