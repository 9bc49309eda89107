// Step folders of every layout, made in this process: of one process, of two ranks that divide the model, and a model exported by
// two ranks. And their readers: one process, and each of two ranks, whose slices of a matrix are rows and of another one columns.
import { createHash } from "node:crypto";
import { join } from "node:path";

import { loadWeights, saveStep, StepCheckpoint } from "../../src/checkpoint/index.ts";
import type { CheckpointContents } from "../../src/checkpoint/save/plan.ts";
import { planFiles } from "../../src/checkpoint/save/plan.ts";
import { publish } from "../../src/checkpoint/save/publish.ts";
import { prepareSave } from "../../src/checkpoint/save/save-step.ts";
import { writeFiles } from "../../src/checkpoint/save/write.ts";
import { piecesOf } from "../../src/checkpoint/index.ts";
import { sliceOf, type ShardSlice } from "../../src/nn/index.ts";
import type { OptimizerState } from "../../src/optim/index.ts";
import { manualSeed, noGrad, outlive, randn, scope, zeros, type Tensor } from "../../src/torch/index.ts";

const shapes: Readonly<Record<string, readonly number[]>> = {
  "model.embed_tokens.weight": [1200, 256],
  "model.layers.0.mlp.down_proj.weight": [64, 256],
  "model.norm.weight": [64],
};

/** Which part of a parameter one of two ranks has. */
function sliceOfRank(name: string, rank: number): ShardSlice {
  const [rows = 1, columns = 1] = shapes[name]!;
  if (!name.includes("down_proj")) return { dim: 0, start: (rank * rows) / 2, length: rows / 2, of: rows };
  const half = columns / 2;
  return {
    dim: 0,
    start: 0,
    length: rows,
    of: rows,
    columns: { start: rank * half, length: half, of: columns },
  };
}

const slicesOfRank = (rank: number): Map<string, ShardSlice> =>
  new Map(Object.keys(shapes).map((name) => [name, sliceOfRank(name, rank)]));

const saved = new Map(Object.entries(shapes));

/** The whole model and its optimizer, or what one of two ranks has of them. */
function stateOf(whole: ReadonlyMap<string, Tensor>, rank?: number): CheckpointContents {
  const slices = rank === undefined ? undefined : slicesOfRank(rank);
  const own = new Map(
    [...whole].map(([name, tensor]) => [name, noGrad(() => sliceOf(tensor, slices?.get(name)).contiguous())]),
  );
  const optimizer = [...own].flatMap(([parameter, tensor]): OptimizerState[] => [
    { parameter, part: "exp_avg", tensor: noGrad(() => tensor.mul(0.5)), isElementwise: true },
    { parameter, part: "step", tensor: zeros([]).add(7), isElementwise: false },
  ]);
  const parts = { train_state: { tokens: 1000, seed: 1 }, lr_scheduler: { step: 5 } };
  return { step: 5, model: own, saved, slices, optimizer, parts };
}

async function saveByTwo(
  folder: string,
  whole: ReadonlyMap<string, Tensor>,
  sourceFolder: string,
  isExport: boolean,
): Promise<string> {
  const contents = [0, 1].map((rank) => {
    const state = stateOf(whole, rank);
    return isExport ? { ...state, optimizer: undefined } : state;
  });
  const options = (index: number) => ({
    ownership: { index, count: 2, replica: 0, saved: new Set(saved.keys()) },
    maxShardBytes: 1_250_000,
  });
  const { temporary, job, publication } = await prepareSave(folder, contents[0]!, {
    ...options(0),
    sourceFolder,
    isExport,
  });
  const { files } = planFiles(contents[1]!, options(1));
  for (const one of [job!, { temporary, files, writer: 1 }])
    writeFiles(one, ({ tensor, storedAs }) => piecesOf(tensor, storedAs));
  return (await publish(publication!)).path;
}

export interface StepFolder {
  readonly name: string;
  readonly path: string;
  readonly readers: Readonly<Record<string, () => Reading>>;
}

/** What a reader got: a digest of all values, and what it said about the folder. */
export interface Reading {
  readonly digest: string;
  readonly note: string | undefined;
}

function digestOf(tensors: Iterable<Tensor>, rest: unknown): string {
  const hash = createHash("sha256");
  for (const tensor of tensors) hash.update(tensor.contiguous().readBytes(new Uint8Array(tensor.nbytes)));
  return hash.update(JSON.stringify(rest)).digest("hex");
}

function readStep(path: string, rank?: number): Reading {
  using _ = scope();
  const { model, slices, optimizer } = stateOf(
    new Map(Object.entries(shapes).map(([name, shape]) => [name, zeros(shape)])),
    rank,
  );
  const checkpoint = new StepCheckpoint(path);
  checkpoint.loadModel(model, { slices });
  checkpoint.loadOptimizer(optimizer!, { slices });
  const { step, random, parts, run } = checkpoint.manifest;
  return {
    digest: digestOf([...model.values(), ...optimizer!.map(({ tensor }) => tensor)], {
      step,
      random,
      parts,
      run,
    }),
    note: checkpoint.editedNote(),
  };
}

function readExport(path: string, rank?: number): Reading {
  using _ = scope();
  const { model, slices } = stateOf(
    new Map(Object.entries(shapes).map(([name, shape]) => [name, zeros(shape)])),
    rank,
  );
  const { note } = loadWeights(path, model, slices === undefined ? {} : { slices });
  return { digest: digestOf(model.values(), null), note };
}

const readersOf = (path: string, read: (path: string, rank?: number) => Reading): StepFolder["readers"] => ({
  "one process": () => read(path),
  "rank 0 of 2": () => read(path, 0),
  "rank 1 of 2": () => read(path, 1),
});

/** @param model a folder to take config.json and the tokenizer from */
export async function makeStepFolders(folder: string, model: string): Promise<StepFolder[]> {
  manualSeed(9);
  const whole = new Map(Object.entries(shapes).map(([name, shape]) => [name, outlive(randn(shape))]));
  try {
    using _ = scope();
    const one = await saveStep(join(folder, "one"), stateOf(whole), { sourceFolder: model });
    const two = await saveByTwo(join(folder, "two"), whole, model, false);
    const exported = await saveByTwo(join(folder, "two"), whole, model, true);
    return [
      { name: "of one process", path: one.path, readers: readersOf(one.path, readStep) },
      { name: "of two ranks", path: two, readers: readersOf(two, readStep) },
      { name: "exported by two ranks", path: exported, readers: readersOf(exported, readExport) },
    ];
  } finally {
    for (const tensor of whole.values()) tensor.dispose();
  }
}
