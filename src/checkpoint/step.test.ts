import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import type { OptimizerState } from "../optim/index.ts";
import * as torch from "../torch/index.ts";
import { sealJson } from "../util/index.ts";
import {
  chooseStart,
  cleanLeftovers,
  findLatest,
  listCheckpoints,
  loadWeights,
  purge,
  saveStep,
} from "./index.ts";
import { StepCheckpoint } from "./load/step-checkpoint.ts";
import { planFiles } from "./save/plan.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-step-"));
test.after(() => rmSync(work, { recursive: true, force: true }));
const fresh = (): string => mkdtempSync(join(work, "run-"));

const { Tensor } = torch;
type Tensors = Map<string, torch.Tensor>;

/** Weights whose values tell the step. */
const model = (step: number): Tensors => new Map([["w", torch.full([3, 4], step)]]);
const moment = (parameter: string, tensor: torch.Tensor): OptimizerState => ({
  parameter,
  part: "exp_avg",
  tensor,
  isElementwise: true,
});
const optimizer = (step: number): OptimizerState[] => [moment("w", torch.full([3, 4], -step))];
const save = async (folder: string, step: number): Promise<string> =>
  (await saveStep(folder, { step, model: model(step), optimizer: optimizer(step) })).path;
const saveModelOnly = async (folder: string, step: number): Promise<string> =>
  (await saveStep(folder, { step, model: model(step) })).path;

const bytesOf = (tensor: torch.Tensor): Uint8Array =>
  tensor.contiguous().readBytes(new Uint8Array(tensor.nbytes));

void test("tensors of every dtype, shape and layout come back bit for bit", async () => {
  using _ = torch.scope();
  const folder = fresh();
  const tensors: Tensors = new Map();
  const noise = Uint8Array.from({ length: 96 }, (_, i) => (i * 37) % 256);
  for (const dtype of torch.dtypes) {
    if (dtype.name === "complex32" || dtype.name === "complex128") continue;
    const bytes = dtype === torch.bool ? noise.map((byte) => byte % 2) : noise;
    const flat = torch.fromTypedArray(bytes).view(dtype);
    tensors.set(dtype.name, flat.view([3, -1]));
  }
  assert.equal(tensors.size, 18);
  tensors.set("scalar", torch.fromArray(Math.PI));
  tensors.set("empty", torch.zeros([0, 3]));
  tensors.set("transposed", torch.arange(12).view([3, 4]).t());
  tensors.set("requires grad", torch.ones([2]).requiresGrad_());
  const statesOf = (some: Tensors) => [...some].map(([name, tensor]) => moment(name, tensor));
  const { path } = await saveStep(folder, { step: 1, model: model(1), optimizer: statesOf(tensors) });
  const targets: Tensors = new Map();
  for (const [name, tensor] of tensors) targets.set(name, torch.zerosLike(tensor.detach()));
  new StepCheckpoint(path).loadOptimizer(statesOf(targets));
  for (const [name, tensor] of tensors)
    assert.deepEqual(bytesOf(targets.get(name)!), bytesOf(tensor.detach()), name);
});

void test("tied weights are saved once, and loaded through either name", async () => {
  using _ = torch.scope();
  const folder = fresh();
  const shared = torch.ones([2, 3]);
  const tied = (tensor: torch.Tensor): Tensors =>
    new Map([
      ["model.embed_tokens.weight", tensor],
      ["lm_head.weight", tensor],
    ]);
  const { path } = await saveStep(folder, { step: 1, model: tied(shared) });
  const target = torch.zeros([2, 3]);
  new StepCheckpoint(path).loadModel(tied(target));
  assert.ok(target.equal(shared));
});

void test("a random stream goes on where it was", async () => {
  using _ = torch.scope();
  torch.manualSeed(5);
  torch.rand([7]);
  torch.randn([3]);
  const { path } = await saveStep(fresh(), { step: 1, model: model(1) });
  const expected = [torch.rand([5]).tolist(), torch.randn([3]).tolist(), torch.randperm(9).tolist()];
  torch.manualSeed(99);
  new StepCheckpoint(path).restoreRandom();
  assert.deepEqual(
    [torch.rand([5]).tolist(), torch.randn([3]).tolist(), torch.randperm(9).tolist()],
    expected,
  );
});

void test("the state's parts and the folder's listing", async () => {
  using _ = torch.scope();
  const folder = fresh();
  const parts = { train_state: { tokens: 12n, best: Infinity }, dataloader: { ids: Int32Array.of(1, 2) } };
  await saveStep(folder, { step: 10, model: model(1), optimizer: optimizer(1), parts, configDigest: "abc" });
  await saveModelOnly(folder, 20);
  const [first, second] = listCheckpoints(folder).complete;
  assert.deepEqual(first!.manifest.parts, parts);
  assert.equal(first!.manifest.config_digest, "abc");
  assert.deepEqual(
    [first, second].map((one) => [one!.step, one!.manifest.kind, one!.manifest.sequence]),
    [
      [10, "full", 1],
      [20, "model", 2],
    ],
  );
  assert.equal(findLatest(folder)!.step, 20);
  assert.equal(findLatest(join(folder, "absent")), undefined);
  assert.deepEqual(readdirSync(folder).sort(), ["step-10", "step-20"]);
});

void test("a step that is saved again replaces its checkpoint", async () => {
  using _ = torch.scope();
  const folder = fresh();
  await save(folder, 5);
  const path = (await saveStep(folder, { step: 5, model: model(7), optimizer: optimizer(7) })).path;
  const target = model(0);
  new StepCheckpoint(path).loadModel(target);
  assert.equal(target.get("w")!.index([0, 0]).item(), 7);
  assert.deepEqual(readdirSync(folder), ["step-5"]);
});

void test("old checkpoints go by when they were saved; the latest and spared ones stay", async () => {
  using _ = torch.scope();
  const folder = fresh();
  const steps = (): number[] => listCheckpoints(folder).complete.map(({ step }) => step);
  for (const step of [10, 20, 30]) await save(folder, step);
  assert.deepEqual(purge(folder, 0), []);
  assert.deepEqual(purge(folder, 3), []);
  assert.deepEqual(purge(folder, 2, [join(folder, "step-10")]), []);
  // A run that went back to step 10 and saves step 15: step 20 and 30 are older than that, and 15 the latest.
  await save(folder, 15);
  assert.equal(findLatest(folder)!.step, 15);
  assert.deepEqual(purge(folder, 3), [10]);
  assert.deepEqual(steps(), [20, 30, 15]);
  assert.deepEqual(purge(folder, 1), [20, 30]);
  assert.deepEqual(steps(), [15]);
  assert.deepEqual(purge(folder, 1), []);
});

void test("leftovers of dead processes go, those of living ones stay, a replaced checkpoint comes back", async () => {
  using _ = torch.scope();
  const folder = fresh();
  await save(folder, 10);
  cpSync(join(folder, "step-10"), join(folder, ".step-20.old-4194303"), { recursive: true });
  cpSync(join(folder, "step-10"), join(folder, ".step-10.old-4194303"), { recursive: true });
  for (const name of [".step-30.tmp-4194303", `.step-30.tmp-${process.pid}`, `.step-40.tmp-${process.ppid}`])
    mkdirSync(join(folder, name));
  mkdirSync(join(folder, ".step-50.old-4194303"));
  mkdirSync(join(folder, "notes"));
  const removed = cleanLeftovers(folder);
  assert.deepEqual(
    removed.sort(),
    [
      ".step-10.old-4194303",
      ".step-30.tmp-4194303",
      `.step-30.tmp-${process.pid}`,
      ".step-50.old-4194303",
    ].sort(),
  );
  assert.deepEqual(
    readdirSync(folder).sort(),
    [`.step-40.tmp-${process.ppid}`, "notes", "step-10", "step-20"].sort(),
  );
  assert.deepEqual(cleanLeftovers(join(folder, "absent")), []);
});

/** Damages a checkpoint and gives the message that its loading ends with. */
function loadFails(path: string): string {
  const state = optimizer(0);
  try {
    const checkpoint = new StepCheckpoint(path);
    checkpoint.loadModel(model(0));
    checkpoint.loadOptimizer(state);
  } catch (error) {
    assert.equal((error as Error).name, "UserError");
    return (error as Error).message;
  }
  throw new Error(`${path} was loaded`);
}

void test("a foreign, truncated or altered checkpoint is named with its fault", async () => {
  using _ = torch.scope();
  const folder = fresh();
  const path = await save(folder, 5);
  const file = (name: string): string => join(path, name);
  const pristine = join(work, "pristine");
  cpSync(path, pristine, { recursive: true });
  const restore = (): void => {
    rmSync(path, { recursive: true });
    cpSync(pristine, path, { recursive: true });
  };
  const state = (): string => readFileSync(file("state.json"), "utf8");
  const unsealed = (): string => state().replace(/,"crc32":\d+\}\n$/, "}");
  const reseal = (before: string | RegExp, after: string): void =>
    writeFileSync(file("state.json"), sealJson(unsealed().replace(before, after)));
  const cases: [() => void, RegExp][] = [
    [() => rmSync(file("state.json")), /not a complete checkpoint of torchforge: expected state\.json in it/],
    [() => truncateSync(file("state.json"), 40), /state\.json: damaged: it is not JSON/],
    [() => writeFileSync(file("state.json"), "{}"), /not a checkpoint of torchforge: expected "format"/],
    [() => writeFileSync(file("state.json"), "null"), /not a checkpoint of torchforge/],
    [
      () => writeFileSync(file("state.json"), unsealed().replace('"version":2', '"version":3')),
      /format version 3; this torchforge reads versions 1 and 2\. Use/,
    ],
    [
      () => writeFileSync(file("state.json"), unsealed()),
      /state\.json: damaged: expected its checksum at its end/,
    ],
    [
      () => writeFileSync(file("state.json"), state().replace('"step":5', '"step":7')),
      /state\.json: damaged: its text is not what was saved \(its checksum disagrees\)/,
    ],
    [
      () => reseal('"step":5', '"step":-5'),
      /state\.json: damaged: step: expected a whole number from 0 on, found -5/,
    ],
    [
      () => reseal('"kind":"full"', '"kind":"half"'),
      /damaged: kind: expected "full" or "model", found "half"/,
    ],
    [
      () => reseal(/"sums":\{[^}]*\}/, '"sums":{"model.safetensors":{}'),
      /damaged: sums: model\.safetensors: expected the checksums of \d+ bytes/,
    ],
    [() => rmSync(file("optimizer.safetensors")), /damaged: optimizer\.safetensors is missing/],
    [
      () => truncateSync(file("model.safetensors"), 50),
      /damaged: model\.safetensors has 50 bytes, expected \d+/,
    ],
    [
      () => {
        const bytes = readFileSync(file("optimizer.safetensors"));
        bytes[bytes.length - 1]! ^= 1;
        writeFileSync(file("optimizer.safetensors"), bytes);
      },
      /optimizer\.safetensors: damaged: bytes 0 to \d+ are not what was saved \(checksum \d+, expected \d+\)\. Choose an earlier checkpoint with checkpoint\.load_step/,
    ],
  ];
  for (const [damage, message] of cases) {
    damage();
    assert.match(loadFails(path), message);
    restore();
  }
  new StepCheckpoint(path).loadModel(model(0));
});

void test("a checkpoint of version 1, with checksums of whole tensors alone, loads, and tells of a flip", async () => {
  using _ = torch.scope();
  const path = await save(fresh(), 5);
  const file = join(path, "state.json");
  const {
    sums: _sums,
    crc32: _seal,
    ...old
  } = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  writeFileSync(file, `${JSON.stringify({ ...old, version: 1 })}\n`);
  const target = model(0);
  new StepCheckpoint(path).loadModel(target);
  assert.equal(target.get("w")!.index([0, 0]).item(), 5);
  const bytes = readFileSync(join(path, "optimizer.safetensors"));
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(join(path, "optimizer.safetensors"), bytes);
  assert.match(loadFails(path), /damaged: tensor w\.exp_avg is not what was saved .* checkpoint\.load_step/);
});

void test("a checkpoint of another model is refused with every difference", async () => {
  using _ = torch.scope();
  const path = await save(fresh(), 5);
  const wrong: Tensors = new Map([
    ["w", torch.ones([4, 4], { dtype: torch.bfloat16 })],
    ["v", torch.ones([1])],
  ]);
  assert.throws(() => new StepCheckpoint(path).loadModel(wrong), {
    name: "UserError",
    message:
      /the model in this checkpoint is not the one of this run\..*\n {2}w: expected BF16 \[4, 4\], found F32 \[3, 4\]\n {2}v: expected, not found$/,
  });
  assert.throws(() => new StepCheckpoint(path).loadOptimizer([]), {
    message: /the optimizer in this checkpoint.*\n {2}w\.exp_avg: found, not expected$/,
  });
});

void test("where a run begins", async () => {
  using _ = torch.scope();
  const folder = fresh();
  const other = fresh();
  const hf = fresh();
  writeFileSync(join(hf, "config.json"), "{}");
  const start = (options: Partial<Parameters<typeof chooseStart>[0]> = {}): [string, string] => {
    const found = chooseStart({ folder, steps: 100, hfAssetsPath: hf, ...options });
    if ("checkpoint" in found) return [found.kind, found.checkpoint.path];
    return [found.kind, "path" in found ? found.path : ""];
  };
  const fails = (options: Partial<Parameters<typeof chooseStart>[0]>, message: RegExp): void => {
    assert.throws(() => start(options), { name: "UserError", message });
  };
  assert.deepEqual(start(), ["weights", hf]);
  assert.deepEqual(start({ initialLoadInHf: false }), ["random", ""]);
  fails(
    { loadStep: 5 },
    /checkpoint\.load_step: expected a checkpoint at .*step-5, found none\. It holds no complete/,
  );
  const elsewhere = await save(other, 30);
  assert.deepEqual(start({ initialLoadPath: elsewhere }), ["resume", elsewhere]);
  assert.deepEqual(start({ initialLoadPath: other }), ["resume", elsewhere]); // the latest in it
  const trained = (rest: string): RegExp =>
    new RegExp(
      `^checkpoint\\.initial_load_path: .*step-30/? is trained for 30 steps already, and training\\.steps is 30; raise training\\.steps to go on from it${rest}$`,
    );
  fails({ initialLoadPath: elsewhere, steps: 30 }, trained(""));
  mkdirSync(`${elsewhere}-hf`);
  const anew = trained(", or begin anew with its weights: checkpoint\\.initial_load_path=.*step-30-hf");
  fails({ initialLoadPath: `${elsewhere}/`, steps: 30 }, anew);
  // The steps are counted anew.
  const excludeFromLoading = ["train_state"];
  assert.deepEqual(start({ initialLoadPath: elsewhere, steps: 30, excludeFromLoading }), [
    "resume",
    elsewhere,
  ]);
  assert.deepEqual(start({ initialLoadPath: join(other, "step_30") }), ["resume", elsewhere]);
  fails({ initialLoadPath: join(other, "step_31") }, /expected a folder, found none at .*step_31\.$/);
  const weights = await saveModelOnly(other, 40);
  assert.deepEqual(start({ initialLoadPath: weights }), ["weights", weights]);
  mkdirSync(join(other, "step-50"));
  fails(
    { initialLoadPath: join(other, "step-50") },
    /neither a complete checkpoint of torchforge \(state\.json/,
  );

  const [ten, twenty] = [await save(folder, 10), await save(folder, 20)];
  assert.deepEqual(start({ initialLoadPath: elsewhere }), ["resume", twenty]);
  assert.deepEqual(start({ enable: false }), ["weights", hf]);
  assert.deepEqual(start({ loadStep: 10 }), ["resume", ten]);
  fails({ loadStep: 15 }, /step-15, found none\. Complete ones: 10, 20\.$/);
  assert.deepEqual(start({ steps: 20 }), ["finished", twenty]);

  truncateSync(join(twenty, "optimizer.safetensors"), 10);
  fails(
    {},
    /step-20: damaged: optimizer\.safetensors has 10 bytes, expected \d+\. The checkpoint of step 10 is complete: resume from it with checkpoint\.load_step=10\. To leave step-20 aside, move it away\.$/,
  );
  assert.deepEqual(start({ loadStep: 10 }), ["resume", ten]);
  assert.deepEqual(
    listCheckpoints(folder).broken.map(({ step }) => step),
    [20],
  );
  await save(folder, 30);
  assert.deepEqual(start(), ["resume", join(folder, "step-30")]);

  await saveModelOnly(folder, 100);
  assert.deepEqual(start(), ["finished", join(folder, "step-100")]);
  assert.deepEqual(start({ steps: 200 }), ["resume", join(folder, "step-30")]);
  fails(
    { loadStep: 100 },
    /step-100 holds the weights alone, and can't be resumed from\. Complete ones: 10, 30\.$/,
  );
  const alone = fresh();
  await saveModelOnly(alone, 50);
  fails(
    { folder: alone },
    /holds the weights alone, and training can't go on exactly.*last_save_model_only=false keep/,
  );
  assert.ok(existsSync(ten));
});

void test("a fault of the disk is said with what is intact", async () => {
  using _ = torch.scope();
  const folder = fresh();
  const asFile = join(folder, "file");
  writeFileSync(asFile, "");
  await assert.rejects(save(join(asFile, "inside"), 5), {
    name: "UserError",
    message:
      /step-5: the checkpoint could not be saved: a part of the path is a file\. No earlier checkpoint/,
  });
  await assert.rejects(
    saveStep(folder, { step: 5, model: new Map([["w", new Tensor(0)]]) }),
    (error: Error) => error.name !== "UserError",
  );
  assert.deepEqual(readdirSync(folder), ["file"]);
});

void test("a partial checkpoint lists what it holds, and can't fill the whole model", async () => {
  using _ = torch.scope();
  const folder = fresh();
  const tensors: Tensors = new Map(["base", "adapter.a", "adapter.b"].map((name) => [name, torch.ones([2])]));
  const adapters = new Map(["adapter.a", "adapter.b"].map((name) => [name, [2]]));
  const states = [moment("adapter.a", torch.ones([2])), moment("adapter.b", torch.ones([2]))];
  const contents = { step: 5, model: tensors, saved: adapters, isPartial: true };
  const { path } = await saveStep(folder, { ...contents, optimizer: states });
  const checkpoint = new StepCheckpoint(path);
  assert.deepEqual(checkpoint.manifest.parameters, ["adapter.a", "adapter.b"]);

  const read: Tensors = new Map([...adapters.keys()].map((name) => [name, torch.zeros([2])]));
  checkpoint.loadModel(read);
  for (const tensor of read.values()) assert.deepEqual(tensor.tolist(), [1, 1]);
  checkpoint.loadOptimizer(states);

  assert.throws(() => checkpoint.loadModel(tensors), {
    name: "UserError",
    message:
      /step-5: a partial checkpoint, which holds 2 parameters of its model, and 1 of this run's are not among them:\n {2}base\nLoad these from the model that it was trained from/,
  });
  assert.throws(() => loadWeights(path, tensors), {
    name: "UserError",
    message:
      /step-5: a partial checkpoint, which holds 2 parameters of its model: it can't fill the whole model\.\n {2}1 missing from the files:\n {4}base$/,
  });
  await saveStep(folder, { step: 6, model: model(6) });
  assert.equal(new StepCheckpoint(join(folder, "step-6")).manifest.parameters, undefined);
});

void test("weights in several files have an index, which another thread could write", async () => {
  using _ = torch.scope();
  const folder = fresh();
  const tensors: Tensors = new Map(["a", "b", "c"].map((name) => [name, torch.full([256], name.length)]));
  const { path } = await saveStep(folder, { step: 5, model: tensors }, { maxShardBytes: 2048 });
  assert.deepEqual(readdirSync(path).sort(), [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "state.json",
  ]);
  const read: Tensors = new Map([...tensors.keys()].map((name) => [name, torch.zeros([256])]));
  new StepCheckpoint(path).loadModel(read);
  for (const [name, tensor] of read) assert.ok(tensor.equal(tensors.get(name)!), name);
  const { index } = planFiles({ step: 5, model: tensors }, { maxShardBytes: 2048 });
  assert.deepEqual(structuredClone(index), index);
});
