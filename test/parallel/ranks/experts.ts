// One rank of the table test of experts: five steps of a mixture of experts, its experts divided among ranks, alone and with
// all else that divides a model, against one process that has all experts and computes all rows. Losses, norms, gradients,
// parameters, evaluation, generated tokens. Everything is float64; beside.ts derives the tolerance. The numbers of tokens
// that go from rank to rank are all unlike, and in some micro-batches an expert gets none.
import assert from "node:assert/strict";

import {
  blockCosts,
  blockSpecs,
  type Decoder,
  generate,
  type ModelConfig,
  parseModelConfig,
} from "../../../src/models/index.ts";
import {
  ContextRegion,
  type DataGroups,
  expertBlocks,
  expertOf,
  expertOptions,
  Fsdp,
  ParallelDims,
  Pipeline,
  type PipelinePlace,
  placePipeline,
  Ranks,
  type ScheduleName,
  Single,
  type Strategy,
  tensorBlocks,
  TensorParallel,
  TensorRegion,
} from "../../../src/parallel/index.ts";
import { float64, scope } from "../../../src/torch/index.ts";
import type { PackedBatch, StepOptions } from "../../../src/train/index.ts";
import { check, joinWorld, leave, size } from "../../comm/rank.ts";
import { vocabulary } from "../tiny.ts";
import { makeLearner, tolerance, trainBeside } from "./beside.ts";

const sizes = {
  vocab_size: vocabulary + 1,
  hidden_size: 32,
  intermediate_size: 50,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
};
/** Of rows that shards don't divide, a layer without experts among them. */
const qwen = {
  ...sizes,
  model_type: "qwen3_moe",
  head_dim: 16,
  num_experts: 8,
  num_experts_per_tok: 3,
  moe_intermediate_size: 10,
  mlp_only_layers: [1],
  norm_topk_prob: true,
  router_aux_loss_coef: 0.1,
};
const mixtral = {
  ...sizes,
  model_type: "mixtral",
  num_local_experts: 4,
  num_experts_per_tok: 2,
  router_aux_loss_coef: 0.1,
  tie_word_embeddings: true,
};
const configOf = (json: object): ModelConfig =>
  parseModelConfig({ ...json, output_router_logits: true }, "test");

interface Degrees {
  pipeline?: number;
  replicate?: number;
  shard?: number;
  context?: number;
  tensor?: number;
  expert: number;
  /** Default: the tensor degree. */
  expertTensor?: number;
}
interface Case {
  model: ModelConfig;
  step: StepOptions;
  accumulation: number;
  packed: boolean;
  reshard?: "always" | "never";
  schedule?: ScheduleName;
}

const world = await joinWorld({ timeoutSeconds: 300 });

function strategyOf(
  one: Case,
  { groups, wholeExperts }: { groups: DataGroups; wholeExperts: boolean },
  stages: PipelinePlace | undefined,
): Strategy {
  const { experts, tensor, shard, replicate } = groups;
  const all = stages?.specs ?? blockSpecs(one.model);
  const own = experts ? expertBlocks(all, { rank: experts.experts.rank, ranks: experts.experts.size }) : all;
  const blocks = tensor ? tensorBlocks(own, tensor.size, wholeExperts) : own;
  const options = { dtype: float64, device: "cpu" };
  let strategy: Strategy =
    shard || experts
      ? new Fsdp(blocks, shard, {
          ...options,
          replicate,
          experts: experts && expertOptions(experts),
          reshardAfterForward: one.reshard ?? "default",
        })
      : new Single(blocks, options);
  if (tensor) {
    const region = new TensorRegion(tensor, { wholeExperts });
    strategy = new TensorParallel(strategy, { region, blocks, group: tensor, model: groups.model! });
  }
  return stages ? new Pipeline(stages, strategy) : strategy;
}

async function run(degrees: Degrees, one: Case): Promise<void> {
  const dims = new ParallelDims(
    {
      pipeline: 1,
      replicate: 1,
      shard: 1,
      context: 1,
      tensor: 1,
      expertTensor: degrees.tensor ?? 1,
      ...degrees,
    },
    size,
  );
  dims.checkModel(one.model);
  const groups = await dims.groups("cpu");
  const ranks = Ranks.ofWorld(groups.loss, dims.dataPart(world.globalRank));
  using s = scope();
  void s;
  const { model: config, step, accumulation, packed, schedule } = one;
  const stages =
    schedule && (await placePipeline(schedule, groups.mesh!, blockSpecs(config), blockCosts(config, 64)));
  const strategy = strategyOf(one, { groups, wholeExperts: dims.wholeExperts }, stages);
  const experts = [...strategy.full.keys()].filter((name) => expertOf(name) !== undefined);
  const { mixture } = config;
  assert.ok(
    experts.length <= (3 * mixture!.layers.filter(Boolean).length * mixture!.numExperts) / degrees.expert,
    `${experts.length} matrices of experts`,
  );
  const context = groups.context && new ContextRegion(groups.context, "alltoall");
  const mine = makeLearner({
    config,
    strategy,
    ranks,
    step,
    context,
    ...(stages && { blocks: stages.blocks }),
  });
  const single = new Single(blockSpecs(config), { dtype: float64, device: "cpu" });
  const reference = makeLearner({ config, strategy: single, ranks: Ranks.one, step });
  const evaluate = (own: readonly PackedBatch[], all: readonly PackedBatch[]): void => {
    const sum = (update: typeof mine.update, batches: readonly PackedBatch[]) =>
      batches.reduce((loss, batch) => loss + update.lossOf(batch), 0);
    const [loss] = ranks.sum([sum(mine.update, own)]) as [number];
    const whole = sum(reference.update, all);
    assert.ok(Math.abs(loss - whole) <= tolerance * whole, `evaluation: ${loss} and ${whole}`);
  };
  // The routers' balance is a micro-batch's, and a pipeline's are rows.
  const byRows = stages !== undefined;
  trainBeside({ mine, strategy, ranks, reference, accumulation, packed, byRows, afterStep: evaluate });
  if (stages) return;
  const prompts = [[3, 7, 5], [11], [2, 4, 6, 8, 10]];
  const ask = (model: Decoder): number[][] => generate(model, prompts, { maxNewTokens: 6 });
  strategy.gatherAll();
  const answers = ask(mine.model);
  // Unseeded: the ranks agree on what one of them draws, or they would wait for each other for ever.
  const drawn = generate(mine.model, prompts, { maxNewTokens: 6, temperature: 1 });
  strategy.release();
  assert.deepEqual(answers, ask(reference.model));
  assert.equal(drawn.flat().length, prompts.length * 6);
}

const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  full: { checkpointing: "full" },
  op: { checkpointing: "selective", selective: "op" },
  "every second layer": { checkpointing: "selective", selective: 2 },
};
const packed = { accumulation: 2, packed: true };
const single = { accumulation: 1, packed: false };

const cases: (Degrees & Case & { name: string })[] =
  size === 2
    ? [
        ...Object.entries(modes).flatMap(([name, step]) => [
          { name: `Qwen3-MoE, ${name}`, shard: 2, expert: 2, model: configOf(qwen), step, ...packed },
          { name: `Mixtral, ${name}`, shard: 2, expert: 2, model: configOf(mixtral), step, ...single },
        ]),
        {
          name: "cut rows",
          context: 2,
          expert: 2,
          model: configOf(qwen),
          step: modes["op"]!,
          ...packed,
        },
        // Tensor ranks with whole experts, other ones each; also where the last stretch of the sequence is padded.
        {
          name: "whole experts, op",
          tensor: 2,
          expert: 2,
          expertTensor: 1,
          model: configOf(qwen),
          step: modes["op"]!,
          ...packed,
        },
        {
          name: "whole experts, Mixtral, full",
          tensor: 2,
          expert: 2,
          expertTensor: 1,
          model: configOf(mixtral),
          step: modes["full"]!,
          ...single,
        },
        // All experts on every rank.
        { name: "all", shard: 2, expert: 1, model: configOf(qwen), step: modes["op"]!, ...packed },
        {
          name: "Mixtral, all",
          tensor: 2,
          expert: 1,
          model: configOf(mixtral),
          step: modes["op"]!,
          ...packed,
        },
        ...(
          [
            ["1F1B", "none", qwen],
            ["Interleaved1F1B", "op", mixtral],
            ["ZBVZeroBubble", "every second layer", qwen],
          ] as const
        ).map(([schedule, mode, json]) => ({
          name: `${schedule}, ${mode}`,
          pipeline: 2,
          expert: 1,
          model: configOf({ ...json, num_hidden_layers: 4 }),
          step: modes[mode]!,
          schedule,
          ...packed,
        })),
      ]
    : [
        { name: "op", shard: 4, expert: 2, model: configOf(qwen), step: modes["op"]!, ...packed },
        {
          name: "full",
          shard: 4,
          expert: 2,
          model: configOf(qwen),
          step: modes["full"]!,
          ...packed,
          reshard: "always",
        },
        {
          name: "one each",
          shard: 4,
          expert: 4,
          model: configOf(mixtral),
          step: modes["op"]!,
          ...packed,
          reshard: "never",
        },
        {
          name: "op",
          replicate: 2,
          shard: 2,
          expert: 2,
          model: configOf(mixtral),
          step: modes["op"]!,
          ...packed,
        },
        { name: "op", shard: 2, tensor: 2, expert: 2, model: configOf(qwen), step: modes["op"]!, ...packed },
        {
          name: "Mixtral, full",
          shard: 2,
          tensor: 2,
          expert: 2,
          model: configOf(mixtral),
          step: modes["full"]!,
          ...single,
        },
        ...(
          [
            ["shards have the same", { shard: 2, tensor: 2, expert: 2 }, qwen],
            ["one each", { shard: 2, tensor: 2, expert: 4 }, mixtral],
            ["replicas", { replicate: 2, tensor: 2, expert: 2 }, qwen],
          ] as const
        ).map(([name, divided, json]) => ({
          name: `whole experts, ${name}`,
          ...divided,
          expertTensor: 1,
          model: configOf(json),
          step: modes["op"]!,
          ...packed,
        })),
        {
          name: "whole experts, cut rows",
          context: 2,
          tensor: 2,
          expert: 4,
          expertTensor: 1,
          model: configOf(qwen),
          step: modes["op"]!,
          ...packed,
        },
        {
          name: "whole experts, ZBVZeroBubble",
          pipeline: 2,
          tensor: 2,
          expert: 2,
          expertTensor: 1,
          model: configOf(qwen),
          step: modes["none"]!,
          schedule: "ZBVZeroBubble",
          ...packed,
        },
        {
          name: "cut rows, 1F1B",
          pipeline: 2,
          context: 2,
          expert: 2,
          model: configOf(qwen),
          step: modes["op"]!,
          schedule: "1F1B",
          ...packed,
        },
        ...(["1F1B", "ZBVZeroBubble"] as const).map((schedule) => ({
          name: schedule,
          pipeline: 2,
          shard: 2,
          expert: 2,
          model: configOf(qwen),
          step: modes["full"]!,
          schedule,
          ...packed,
        })),
      ];

for (const { name, pipeline, replicate, shard, context, tensor, expert, expertTensor, ...one } of cases) {
  const degrees = {
    ...(pipeline && { pipeline }),
    ...(replicate && { replicate }),
    ...(shard && { shard }),
    ...(context && { context }),
    ...(tensor && { tensor }),
    expert,
  };
  const title = Object.entries(degrees).map(([axis, degree]) => `${axis} ${degree}`);
  await check(`${title.join(" x ")}, ${name}`, () =>
    run({ ...degrees, ...(expertTensor && { expertTensor }) }, one),
  );
}
leave();
