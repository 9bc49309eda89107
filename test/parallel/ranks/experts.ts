// One rank of the table test of experts: three steps of a mixture of experts, its experts divided among ranks, alone and with
// all else that divides a model, against one process that has all experts and computes all rows. Losses, norms, gradients,
// parameters, evaluation, generated tokens. Everything is float64; beside.ts derives the tolerance. The numbers of tokens
// that go from rank to rank are all unlike, and in some micro-batches an expert gets none.
import assert from "node:assert/strict";

import { type ModelConfig, parameterSpecs, parseModelConfig } from "../../../src/models/index.ts";
import type { Degrees, ScheduleName } from "../../../src/parallel/index.ts";
import { scope } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { check, joinWorld, leave, size } from "../../comm/rank.ts";
import { evenSizes } from "../tiny.ts";
import { assertTrainsAsOne, makePart, openDivision } from "./division.ts";

/** Of rows that shards don't divide, a layer without experts among them. */
const qwen = {
  ...evenSizes,
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
  ...evenSizes,
  model_type: "mixtral",
  num_local_experts: 4,
  num_experts_per_tok: 2,
  router_aux_loss_coef: 0.1,
  tie_word_embeddings: true,
};
const configOf = (json: object): ModelConfig =>
  parseModelConfig({ ...json, output_router_logits: true }, "test");

interface Case {
  model: ModelConfig;
  step: StepOptions;
  accumulation: number;
  packed: boolean;
  reshard?: "always" | "never" | undefined;
  schedule?: ScheduleName | undefined;
}

await joinWorld({ timeoutSeconds: 300 });

/** @param degrees the tensor ranks have a part of each expert where it doesn't say that they have whole ones */
async function run(degrees: Partial<Degrees>, one: Case): Promise<void> {
  const division = await openDivision({ expertTensor: degrees.tensor ?? 1, ...degrees });
  const { dims, ranks } = division;
  const { model, step, accumulation, packed, reshard, schedule } = one;
  dims.checkModel(model);
  using _ = scope();
  const part = await makePart(model, step, division, { reshard, schedule });
  const { strategy, stages } = part;
  const specs = parameterSpecs(model);
  const experts = [...strategy.full.keys()].filter((name) => specs.get(name)!.expert !== undefined);
  const { layers, numExperts } = model.moe!;
  assert.ok(
    experts.length <= (3 * layers.filter(Boolean).length * numExperts) / (degrees.expert ?? 1),
    `${experts.length} matrices of experts`,
  );
  // The routers' balance is a micro-batch's, and a pipeline's are rows.
  const byRows = stages !== undefined;
  assertTrainsAsOne(model, part, ranks, { accumulation, packed, byRows });
}

const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  full: { checkpointing: "full" },
  op: { checkpointing: "selective", selective: "op" },
  "every second layer": { checkpointing: "selective", selective: 2 },
};
const packed = { accumulation: 2, packed: true };
const single = { accumulation: 1, packed: false };

const cases: (Partial<Degrees> & Case & { name: string })[] =
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
        // Tensor ranks with whole experts, other ones each; also where the last shard of the sequence is padded.
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

for (const { name, model, step, accumulation, packed: isPacked, reshard, schedule, ...degrees } of cases) {
  const { expertTensor: _, ...shown } = degrees;
  const title = Object.entries(shown).map(([axis, degree]) => `${axis} ${degree}`);
  const one = { model, step, accumulation, packed: isPacked, reshard, schedule };
  await check(`${title.join(" x ")}, ${name}`, () => run(degrees, one));
}
leave();
