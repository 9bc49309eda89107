// One rank of the table of frozen parameters: three steps of each strategy against one process that freezes the same ones. Only
// what is trained has a gradient, counts in the norm and changes. Tolerance: see beside.ts.
import assert from "node:assert/strict";

import type { ModelConfig } from "../../../src/models/index.ts";
import { type BlockSpec, freeze, type ParameterSpec } from "../../../src/nn/index.ts";
import type { Degrees, ScheduleName } from "../../../src/parallel/index.ts";
import { scope } from "../../../src/torch/index.ts";
import { check, joinWorld, leave } from "../../comm/rank.ts";
import { evenDense, evenMoe } from "../tiny.ts";
import { trainBeside } from "./beside.ts";
import { aloneOf } from "./alone.ts";
import { evaluates, makePart, openDivision } from "./division.ts";

/** The tied embedding, a whole layer, and in the others some weights of each kind: a matrix, its bias, a norm, experts. */
const frozen = ({ name, expert }: ParameterSpec): boolean =>
  [/embed_tokens/, /layers\.0\./, /layers\.1\.self_attn\.(q|o)_proj/, /layers\.2\..*norm/].some((one) =>
    one.test(name),
  ) ||
  (expert?.index === 1 && !name.includes("up_proj"));

const some = (spec: ParameterSpec): boolean => !frozen(spec);
/** The last layers. */
const upper = ({ name }: ParameterSpec): boolean => /layers\.[12]\./.test(name);

interface Case {
  readonly trained?: (spec: ParameterSpec) => boolean;
  readonly model: ModelConfig;
  readonly degrees: Partial<Degrees>;
  readonly schedule?: ScheduleName;
}

const cases: Record<string, Case> = {
  replicas: { model: evenDense, degrees: { replicate: 2 } },
  shards: { model: evenDense, degrees: { shard: 2 } },
  "tensor parallelism": { model: evenDense, degrees: { tensor: 2 } },
  "shards of which the upper are trained": { model: evenDense, degrees: { shard: 2 }, trained: upper },
  "a pipeline whose first stage isn't trained": {
    model: evenDense,
    degrees: { pipeline: 2 },
    schedule: "1F1B",
    trained: upper,
  },
  "the same with split backward": {
    model: evenDense,
    degrees: { pipeline: 2 },
    schedule: "ZBVZeroBubble",
    trained: upper,
  },
  "a pipeline": { model: evenDense, degrees: { pipeline: 2 }, schedule: "1F1B" },
  "a pipeline with split backward": { model: evenDense, degrees: { pipeline: 2 }, schedule: "ZBVZeroBubble" },
  "divided experts": { model: evenMoe, degrees: { shard: 2, expert: 2 } },
  "experts in parts": { model: evenMoe, degrees: { tensor: 2, expertTensor: 2 } },
};

await joinWorld({ timeoutSeconds: 300 });
for (const [title, { model, degrees, schedule, trained = some }] of Object.entries(cases)) {
  const tune = (blocks: readonly BlockSpec[]): readonly BlockSpec[] => freeze(blocks, trained);
  const division = await openDivision(degrees);
  for (const checkpointing of ["none", "full"] as const) {
    await check(`${title}, checkpointing ${checkpointing}`, async () => {
      using _ = scope();
      const part = await makePart(model, { checkpointing }, division, { schedule, tune });
      const { strategy } = part;
      // Of the upper layers a stage may have all, or none.
      if (trained !== upper)
        assert.ok(strategy.trained.size > 0 && strategy.trained.size < strategy.parameters.size);
      assert.equal(strategy.saved.size, strategy.parameters.size, "frozen ones are saved, too");
      const { ranks } = division;
      const rows = {
        count: 2 * ranks.data.worldSize,
        packed: true,
        byRows: schedule !== undefined,
      };
      const { steps } = aloneOf(model, rows, tune);
      trainBeside({
        ...part,
        ranks,
        alone: steps,
        accumulation: 2,
        packed: true,
        afterStep: evaluates(part, ranks),
      });
    });
  }
}
leave();
