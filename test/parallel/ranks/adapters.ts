// One rank of the table of adapters: three steps of each strategy against one process. Only what is trained has a gradient, counts
// in the norm and changes. Tolerance: see beside.ts.
import assert from "node:assert/strict";

import {
  type AdapterSettings,
  type ModelConfig,
  parseModelConfig,
  type Quantization,
  quantizedBlocks,
  tunedBlocks,
} from "../../../src/models/index.ts";
import { type BlockSpec, mapParameters } from "../../../src/nn/index.ts";
import type { Degrees, ScheduleName } from "../../../src/parallel/index.ts";
import { scope } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { check, joinWorld, leave } from "../../comm/rank.ts";
import { evenDense, evenMoe, evenSizes } from "../tiny.ts";
import { trainBeside } from "./beside.ts";
import { aloneOf } from "./alone.ts";
import { assertSameAnswers, evaluates, makePart, openDivision } from "./division.ts";

const settings: AdapterSettings = {
  method: "lora",
  rank: 3,
  alpha: 6,
  dropout: 0,
  targetModules: "all-linear",
  rankPattern: { o_proj: 4 },
  alphaPattern: {},
  modulesToSave: [],
  layers: undefined,
};

/** With adapters whose product isn't zero, or nothing would be learned of lora_A at first. */
const tuneWith =
  (changes: Partial<AdapterSettings>, quantize: Quantization | undefined) =>
  (blocks: readonly BlockSpec[]): readonly BlockSpec[] => {
    const tuned = tunedBlocks(blocks, { trainable: [], adapter: { ...settings, ...changes } }).map((block) =>
      mapParameters(block, (spec) =>
        spec.init === "zeros" && spec.trainable ? { ...spec, init: "uniform" } : spec,
      ),
    );
    return quantize === undefined
      ? tuned
      : quantizedBlocks(tuned, quantize, "quantize.base", ({ trainable }) => !trainable);
  };

/** Of it half the columns are whole blocks of 64. */
const wide = parseModelConfig(
  {
    ...evenSizes,
    model_type: "qwen2",
    hidden_size: 128,
    intermediate_size: 128,
    tie_word_embeddings: true,
  },
  "test",
);
const nf4 = { format: "nf4", doubleQuant: true } as const;
const int8 = { format: "int8", doubleQuant: false } as const;

interface Case {
  readonly model?: ModelConfig;
  readonly degrees: Partial<Degrees>;
  readonly schedule?: ScheduleName;
  readonly changes?: Partial<AdapterSettings>;
  readonly quantize?: Quantization;
  readonly modes?: readonly NonNullable<StepOptions["checkpointing"]>[];
}

const dora = { method: "dora" } as const;
const saved = { modulesToSave: ["embed_tokens", "model.norm"], layers: "1:" };

const cases: Record<string, Case> = {
  replicas: { degrees: { replicate: 2 } },
  shards: { degrees: { shard: 2 }, modes: ["selective", "full"] },
  "shards, DoRA": { degrees: { shard: 2 }, changes: dora },
  "shards, with modules that are trained": { degrees: { shard: 2 }, changes: saved },
  "tensor parallelism": { degrees: { tensor: 2 }, modes: ["selective", "full"] },
  "tensor parallelism, DoRA": { degrees: { tensor: 2 }, changes: dora },
  "tensor parallelism, with modules that are trained": { degrees: { tensor: 2 }, changes: saved },
  "context parallelism": { degrees: { context: 2 } },
  "a pipeline": { degrees: { pipeline: 2 }, schedule: "1F1B", modes: ["selective", "full"] },
  "a pipeline with split backward, DoRA": {
    degrees: { pipeline: 2 },
    schedule: "ZBVZeroBubble",
    changes: dora,
  },
  "a pipeline, with modules that are trained": {
    degrees: { pipeline: 2 },
    schedule: "GPipe",
    changes: saved,
  },
  "quantized shards": { model: wide, degrees: { shard: 2 }, quantize: nf4, modes: ["selective", "full"] },
  "quantized tensor parallelism, DoRA": {
    model: wide,
    degrees: { tensor: 2 },
    quantize: nf4,
    changes: dora,
  },
  "quantized tensor parallelism": { model: wide, degrees: { tensor: 2 }, quantize: int8 },
  "quantized context parallelism": { model: wide, degrees: { context: 2 }, quantize: nf4 },
  "a quantized pipeline with split backward": {
    model: wide,
    degrees: { pipeline: 2 },
    schedule: "ZBVZeroBubble",
    quantize: nf4,
  },
  "quantized, with divided experts": {
    model: evenMoe,
    degrees: { shard: 2, expert: 2 },
    quantize: int8,
  },
  "divided experts": { model: evenMoe, degrees: { shard: 2, expert: 2 } },
  "experts in parts": { model: evenMoe, degrees: { tensor: 2, expertTensor: 2 } },
};

await joinWorld({ timeoutSeconds: 300 });
const one = ["none"] as const;
for (const [title, given] of Object.entries(cases)) {
  const { model = evenDense, degrees, schedule, changes = {}, quantize, modes = one } = given;
  const division = await openDivision(degrees);
  for (const checkpointing of modes) {
    await check(`${title}, checkpointing ${checkpointing}`, async () => {
      using _ = scope();
      const tune = tuneWith(changes, quantize);
      const part = await makePart(model, { checkpointing }, division, { schedule, tune });
      const { strategy } = part;
      assert.deepEqual([...strategy.saved.keys()], [...strategy.trained.keys()], "the base isn't saved");
      assert.ok(strategy.trained.size < strategy.parameters.size);
      const { ranks } = division;
      const rows = { count: 2 * ranks.data.worldSize, packed: true, byRows: schedule !== undefined };
      const { steps, answers } = aloneOf(model, rows, tune);
      const afterStep = evaluates(part, ranks);
      trainBeside({ ...part, ranks, alone: steps, accumulation: 2, packed: true, afterStep });
      if (degrees.context === undefined) assertSameAnswers(part, answers);
    });
  }
}
leave();
