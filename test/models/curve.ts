// Loss curves against Transformers: the configurations of the curves, and the packs that our loader makes of them.
//   node test/models/curve.ts packs NAME > packs.json   for test/fixtures/curves/make_curve.py
//   node test/models/curve.ts check NAME                trains, and compares with the curve in git
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Config } from "../../src/config/index.ts";
import { sliceColumns } from "../../src/data/columns.ts";
import { loadTokenizer, openLoader, trainingData } from "../../src/data/index.ts";
import { obtainSmolLM2 } from "../../src/quickstart/index.ts";
import { Trainer } from "../../src/train/trainer/trainer.ts";
import { root } from "../programs.ts";
import { makeTinyModel } from "./tiny-model.ts";

const curves = join(root, "test", "fixtures", "curves");

interface Setting {
  steps: number;
  seqLen: number;
  lr: number;
  warmupSteps: number;
}

/** Curves by name; `tiny` is a random model of two layers, the others SmolLM2-135M-Instruct. */
export const settings: Record<string, Setting> = {
  tiny: { steps: 50, seqLen: 256, lr: 3e-3, warmupSteps: 5 },
  "smollm2-5": { steps: 5, seqLen: 128, lr: 1e-5, warmupSteps: 2 },
  "smollm2-50": { steps: 50, seqLen: 512, lr: 1e-5, warmupSteps: 10 },
};

export interface Curve extends Setting {
  packsSha256: string;
  /** Mean loss of the trained tokens of each step, before its update. */
  losses: number[];
  gradNorms: number[];
}

export interface Pack {
  /** Token ids and labels (-100: none) of each document. */
  documents: { tokens: number[]; labels: number[] }[];
}

export function configOf(name: string, model: string, outputs: string): Config {
  const { steps, seqLen, lr, warmupSteps } = settings[name]!;
  return Config.create({
    job: { dump_folder: outputs, name },
    model: { hf_assets_path: model },
    processes: { procs: 1, with_gpus: false },
    optimizer: { lr },
    lr_scheduler: { warmup_steps: warmupSteps, decay_type: "linear" },
    training: {
      steps,
      seq_len: seqLen,
      local_batch_size: 1,
      seed: 1,
      datasets: [{ path: join(root, "data", "alpaca-python.jsonl"), split: "train", format: "alpaca" }],
    },
    checkpoint: { enable: false },
    metric_logging: { tensorboard: { enable: false } },
  });
}

/** The packs of the run, one a step. */
export async function packsOf(config: Config, model: string): Promise<Pack[]> {
  const loader = await openLoader(trainingData(config.spec, loadTokenizer(model)));
  try {
    const packs: Pack[] = [];
    for (let step = 0; step < config.training.steps; step++) {
      const batch = (await loader.next())!;
      let at = 0;
      const documents = batch.sequences[0]!.map(({ length }) => {
        const { tokens, labels } = sliceColumns(batch.columns, at, (at += length));
        return { tokens: [...tokens], labels: [...labels] };
      });
      packs.push({ documents });
    }
    return packs;
  } finally {
    await loader.close();
  }
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

export const curvePath = (name: string): string => join(curves, `${name}.json`);

export interface Comparison {
  expected: Curve;
  packsSha256: string;
  losses: number[];
  gradNorms: number[];
}

/** Trains as the curve was made. `onStep` is told each loss beside the curve's. */
export async function train(
  name: string,
  onStep: (step: number, loss: number, expected: number) => void = () => undefined,
): Promise<Comparison> {
  const expected = JSON.parse(readFileSync(curvePath(name), "utf8")) as Curve;
  const work = mkdtempSync(join(tmpdir(), "torchforge-curve-"));
  try {
    const model = await modelOf(name, work);
    const config = configOf(name, model, join(work, "outputs"));
    const packsSha256 = sha256(JSON.stringify(await packsOf(config, model)));
    const losses: number[] = [];
    const gradNorms: number[] = [];
    const trainer = await Trainer.create(config, {
      onRecord: (record) => {
        if (record.kind !== "train") return;
        losses.push(record.loss);
        gradNorms.push(record.grad_norm);
        onStep(record.step, record.loss, expected.losses[record.step - 1]!);
      },
    });
    try {
      await trainer.train();
    } finally {
      await trainer.close();
      trainer.model.dispose();
    }
    return { expected, packsSha256, losses, gradNorms };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function modelOf(name: string, work: string): Promise<string> {
  if (name !== "tiny") return (await obtainSmolLM2()).folder;
  const folder = join(work, "model");
  makeTinyModel(folder);
  return folder;
}

if (import.meta.main) {
  const [what, name] = process.argv.slice(2);
  if (name === undefined || !(name in settings)) throw new Error(`usage: curve.ts packs|check NAME`);
  if (what === "packs") {
    const folder = join(tmpdir(), `torchforge-curve-${name}`);
    const model = await modelOf(name, folder);
    const packs = await packsOf(configOf(name, model, folder), model);
    const text = JSON.stringify(packs);
    process.stdout.write(
      JSON.stringify({ name, model, ...settings[name], packsSha256: sha256(text), packs }),
    );
  } else {
    let worst = 0;
    await train(name, (step, loss, expected) => {
      worst = Math.max(worst, Math.abs(loss / expected - 1));
      console.log(`step ${step}: ${loss} and ${expected}, largest relative difference so far ${worst}`);
    });
    process.exitCode = worst <= 1e-4 ? 0 : 1;
  }
  process.exit();
}
