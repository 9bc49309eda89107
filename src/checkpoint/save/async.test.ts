import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import * as torch from "../../torch/index.ts";
import { Checkpointer, listCheckpoints, type CheckpointerOptions } from "../index.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-async-"));
test.after(() => rmSync(work, { recursive: true, force: true }));
const source = join(work, "model");
mkdirSync(source);
writeFileSync(join(source, "config.json"), JSON.stringify({ model_type: "llama" }));
writeFileSync(join(source, "tokenizer.json"), "{}");

/** Tensors of several kinds, two of which are one; `advance` changes all of them. */
function state() {
  torch.manualSeed(7);
  const weight = torch.randn([300, 70]);
  const model = new Map([
    ["embed.weight", weight],
    ["norm.weight", torch.randn([33]).to(torch.bfloat16)],
    ["turned.weight", torch.randn([20, 30]).t()],
    ["head.weight", weight],
    ["empty.weight", torch.zeros([0, 4])],
  ]);
  const moment = torch.randn([300, 70]);
  const optimizer = [
    { parameter: "embed.weight", part: "exp_avg", tensor: moment, isElementwise: true },
    { parameter: "embed.weight", part: "step", tensor: torch.fromArray(3n), isElementwise: false },
  ];
  const advance = (): void => {
    for (const tensor of [...new Set(model.values()), ...optimizer.map((one) => one.tensor)]) tensor.add_(1);
  };
  return { model, optimizer, advance };
}

async function saveAll(folder: string, mode: CheckpointerOptions["asyncMode"] & string): Promise<number[]> {
  const { model, optimizer, advance } = state();
  const complete: number[] = [];
  const checkpointer = new Checkpointer({
    folder,
    steps: 4,
    interval: 1,
    keepLatestK: 3,
    hfAssetsPath: source,
    asyncMode: mode,
  });
  for (let step = 1; step <= 4; step++) {
    const parts = { train_state: { tokens: 10n + BigInt(step), seed: 1 } };
    const onComplete = (done: number): void => void complete.push(done);
    const saved = await checkpointer.save({ step, model, optimizer, parts, configDigest: "d", onComplete });
    assert.equal(saved?.complete, mode === "disabled" || step === 4, "the last save is synchronous");
    // What is written is what was there at the save.
    advance();
  }
  await checkpointer.close();
  return complete;
}

/** All files of a folder of checkpoints; of state.json, what isn't the time, and the checksum over it. */
function filesOf(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  return new Map(
    names
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort()
      .map((path) => [
        path.slice(folder.length),
        readFileSync(path, "latin1").replaceAll(/"saved_at":"[^"]*"|"crc32":\d+/g, ""),
      ]),
  );
}

void test("what is written in the background is, byte for byte, what a synchronous save writes", async () => {
  const plain = join(work, "disabled");
  assert.deepEqual(await saveAll(plain, "disabled"), [1, 2, 3, 4]);
  const expected = filesOf(plain);
  assert.deepEqual(readdirSync(plain).sort(), ["step-2", "step-3", "step-4", "step-4-hf"]);
  assert.ok(expected.has("/step-2/optimizer.safetensors") && expected.has("/step-3/tokenizer.json"));
  for (const mode of ["async", "async_with_pinned_mem"] as const) {
    const folder = join(work, mode);
    assert.deepEqual(await saveAll(folder, mode), [1, 2, 3, 4]);
    const found = filesOf(folder);
    assert.deepEqual([...found.keys()], [...expected.keys()]);
    for (const [path, text] of expected) assert.ok(found.get(path) === text, `${mode}: ${path}`);
  }
});

for (const next of ["save", "settle", "close"] as const)
  void test(`a failure in the background is told by the next ${next}, and the one after can save`, async () => {
    const folder = join(work, `failing-${next}`);
    const broken = join(work, `broken-${next}`);
    mkdirSync(broken);
    const whole = JSON.stringify({ model_type: "llama" });
    writeFileSync(join(broken, "config.json"), whole);
    const { model, optimizer } = state();
    const options = { folder, steps: 10, interval: 1, hfAssetsPath: broken, asyncMode: "async" } as const;
    const checkpointer = new Checkpointer(options);
    await checkpointer.save({ step: 1, model, optimizer });
    await checkpointer.settle();
    // It can't be read when the checkpoint is published.
    writeFileSync(join(broken, "config.json"), whole.slice(1));
    await checkpointer.save({ step: 2, model, optimizer });
    const failing = next === "save" ? checkpointer.save({ step: 3, model, optimizer }) : checkpointer[next]();
    await assert.rejects(failing);
    assert.deepEqual(readdirSync(folder), ["step-1"], "nothing half-written is left");
    assert.equal(listCheckpoints(folder).complete.length, 1);
    writeFileSync(join(broken, "config.json"), whole);
    await checkpointer.save({ step: 4, model, optimizer });
    await checkpointer.close();
    assert.deepEqual(readdirSync(folder).sort(), ["step-1", "step-4"]);
  });
