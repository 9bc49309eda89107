// Compares two runs by their files: the losses in metrics.jsonl, and the last checkpoint's state.json, which has a checksum of
// every tensor. Needs no libtorch.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";

import { readMetrics, type StepRecord } from "../../../metrics/index.ts";
import { UserError } from "../../../util/index.ts";

export interface Comparison {
  readonly name: string;
  /** What was compared. */
  readonly what: string;
  /** The first difference; undefined if there is none. */
  readonly difference?: string | undefined;
}

/** The compared part of state.json (see src/checkpoint). */
interface CheckpointState {
  readonly checksums: Readonly<Record<string, number>>;
  readonly random: unknown;
  readonly parts: Readonly<Record<string, unknown>>;
}

/** @param uninterrupted and `resumed` are run folders; their last checkpoint is of step `steps` */
export function compareRuns(uninterrupted: string, resumed: string, steps: number): Comparison[] {
  const [a, b] = [readState(uninterrupted, steps), readState(resumed, steps)];
  return [
    compareLosses(readSteps(uninterrupted), readSteps(resumed), steps),
    compareTensors("weights", "model/", a, b),
    compareTensors("optimizer", "optimizer/", a, b),
    comparePart("data position", "of the loader, with its packing buffer", position(a), position(b)),
    comparePart("random state", "of every generator", a.random, b.random),
  ];
}

function readState(run: string, steps: number): CheckpointState {
  const path = join(run, "checkpoint", `step-${steps}`, "state.json");
  try {
    return JSON.parse(readFileSync(path, "utf8")) as CheckpointState;
  } catch (error) {
    throw new UserError(`${path}: expected the run's last checkpoint, found none.`, { cause: error });
  }
}

function readSteps(run: string): Map<number, StepRecord> {
  const records = readMetrics(join(run, "metrics.jsonl")).filter((record) => record.kind === "train");
  return new Map(records.map((record) => [record.step, record]));
}

const comparedKeys = ["loss", "grad_norm", "learning_rate", "num_tokens"] as const;

function compareLosses(
  a: ReadonlyMap<number, StepRecord>,
  b: ReadonlyMap<number, StepRecord>,
  steps: number,
): Comparison {
  const name = "losses";
  const what = `of ${steps} steps, with gradient norms, learning rates and token counts`;
  for (let step = 1; step <= steps; step++) {
    const [expected, found] = [a.get(step), b.get(step)];
    if (!expected || !found) return { name, what, difference: `step ${step} was not logged` };
    for (const key of comparedKeys)
      if (!Object.is(expected[key], found[key]))
        return { name, what, difference: `step ${step}: ${key} ${found[key]} instead of ${expected[key]}` };
  }
  return { name, what };
}

function compareTensors(name: string, prefix: string, a: CheckpointState, b: CheckpointState): Comparison {
  const names = (state: CheckpointState) =>
    Object.keys(state.checksums).filter((key) => key.startsWith(prefix));
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

/** Without `now`, the run's start time, which chat templates may print. */
function position({ parts }: CheckpointState): unknown {
  const found = parts["dataloader"];
  if (found === undefined) return undefined;
  // With several ranks, one position per rank.
  return (Array.isArray(found) ? found : [found]).map((one) => {
    const { now: _, ...rest } = one as Record<string, unknown>;
    return rest;
  });
}

function comparePart(name: string, what: string, a: unknown, b: unknown): Comparison {
  if (a === undefined || b === undefined) return { name, what, difference: "the checkpoints hold none" };
  return isDeepStrictEqual(a, b) ? { name, what } : { name, what, difference: `${what}: not the same` };
}
