// Compares what two runs left: the losses in metrics.jsonl, and the last checkpoint's state.json, which holds a checksum
// of every tensor. Reads plain files; libtorch isn't needed.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";

import { readMetrics, type StepRecord } from "../../metrics/index.ts";
import { UserError } from "../../util/index.ts";

export interface Comparison {
  readonly name: string;
  /** What was compared. */
  readonly what: string;
  /** The first difference; undefined where there is none. */
  readonly difference?: string | undefined;
}

/** state.json, as far as it is compared (see src/checkpoint/manifest.ts). */
interface State {
  readonly checksums: Readonly<Record<string, number>>;
  readonly random: unknown;
  readonly parts: Readonly<Record<string, unknown>>;
}

/** @param straight and `resumed` are run folders; their last checkpoint is of step `steps` */
export function compareRuns(straight: string, resumed: string, steps: number): Comparison[] {
  const [a, b] = [readState(straight, steps), readState(resumed, steps)];
  return [
    compareLosses(readSteps(straight), readSteps(resumed), steps),
    compareTensors("weights", "model/", a, b),
    compareTensors("optimizer", "optimizer/", a, b),
    comparePart("data position", "of the loader, with its packing buffer", position(a), position(b)),
    comparePart("random state", "of every generator", a.random, b.random),
  ];
}

function readState(run: string, steps: number): State {
  const path = join(run, "checkpoint", `step-${steps}`, "state.json");
  try {
    return JSON.parse(readFileSync(path, "utf8")) as State;
  } catch (error) {
    throw new UserError(`${path}: expected the run's last checkpoint, found none.`, { cause: error });
  }
}

function readSteps(run: string): Map<number, StepRecord> {
  const records = readMetrics(join(run, "metrics.jsonl")).filter((record) => record.kind === "train");
  return new Map(records.map((record) => [record.step, record]));
}

const compared = ["loss", "grad_norm", "learning_rate", "num_tokens"] as const;

function compareLosses(
  a: ReadonlyMap<number, StepRecord>,
  b: ReadonlyMap<number, StepRecord>,
  steps: number,
): Comparison {
  const name = "losses";
  const what = `of ${steps} steps, with gradient norms, learning rates and token counts`;
  for (let step = 1; step <= steps; step++) {
    const [one, other] = [a.get(step), b.get(step)];
    if (!one || !other) return { name, what, difference: `step ${step} was not logged` };
    for (const key of compared)
      if (!Object.is(one[key], other[key]))
        return { name, what, difference: `step ${step}: ${key} ${other[key]} instead of ${one[key]}` };
  }
  return { name, what };
}

function compareTensors(name: string, prefix: string, a: State, b: State): Comparison {
  const names = (state: State) => Object.keys(state.checksums).filter((key) => key.startsWith(prefix));
  const all = [...new Set([...names(a), ...names(b)])];
  const what = `${all.length} tensors`;
  const differ = all.filter((key) => a.checksums[key] !== b.checksums[key]);
  if (all.length === 0) return { name, what, difference: "the checkpoints hold none" };
  if (differ.length === 0) return { name, what };
  return {
    name,
    what,
    difference: `${differ.length} of ${all.length} tensors, the first ${differ[0]!.slice(prefix.length)}`,
  };
}

/** Without `now`, the time that chat templates may print: the two runs did begin at different times. */
function position({ parts }: State): unknown {
  const found = parts["dataloader"];
  if (found === undefined) return undefined;
  // Of several ranks, one each.
  return (Array.isArray(found) ? found : [found]).map((one) => {
    const { now: _, ...rest } = one as Record<string, unknown>;
    return rest;
  });
}

function comparePart(name: string, what: string, a: unknown, b: unknown): Comparison {
  if (a === undefined || b === undefined) return { name, what, difference: "the checkpoints hold none" };
  return isDeepStrictEqual(a, b) ? { name, what } : { name, what, difference: `${what}: not the same` };
}
