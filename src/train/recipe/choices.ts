// A first recipe for somebody's data on somebody's machine: every choice, with its reason. Rules of thumb, and the memory forecast.
import { Config } from "../../config/index.ts";
import type { DataStats } from "../../data/index.ts";
import { countParameters, type ModelConfig } from "../../models/index.ts";
import { UserError } from "../../util/index.ts";
import { forecastMemory } from "../plan/forecast.ts";

export interface RecipeFacts {
  /** As in model.hf_assets_path. */
  readonly model: string;
  readonly modelConfig: ModelConfig;
  /** As in training.datasets[].path. */
  readonly data: string;
  readonly stats: Pick<DataStats, "lengths" | "ledger" | "tokens">;
  readonly machine: {
    /** Bytes that a run may use: of one GPU, or else of main memory. */
    readonly memory: number;
    readonly hasGpu: boolean;
    readonly gpus: number;
  };
}

/** A value of the recipe, and why. */
export interface Choice {
  readonly value: string | number | boolean | readonly Readonly<Record<string, string>>[];
  readonly reason: string;
}

/** By section and key, in the order in which they are written. */
export type Recipe = Readonly<Record<string, Readonly<Record<string, Choice>>>>;

export interface ChosenRecipe {
  readonly recipe: Recipe;
  /** Bytes at the peak. */
  readonly memory: number;
}

/** A part of the memory is for the program itself, caches, and what a forecast doesn't know. */
const usableShare = 0.8;

const smallestLength = 256;
/** Fewer rows than this are all trained. */
const fewRows = 40;

/** @throws UserError where no row can be trained, and where the model doesn't fit in any way that is tried */
export function chooseRecipe(facts: RecipeFacts): ChosenRecipe {
  const { machine, stats, data } = facts;
  const rows = stats.ledger.trained;
  if (rows === 0)
    throw new UserError(
      `--data: none of the ${stats.ledger.rows} rows of ${data} can be trained. \`npx torchforge data preview training.dataset=${data}\` shows why`,
      { exitCode: 2 },
    );
  for (const way of waysToTrain(facts)) {
    const recipe = recipeOf(facts, way);
    const { totalBytes } = forecastMemory(configOf(recipe).spec, facts.modelConfig);
    if (totalBytes <= usableShare * machine.memory) return { recipe, memory: totalBytes };
  }
  throw new UserError(
    `--model: ${facts.model} (${billions(countParameters(facts.modelConfig))} parameters) doesn't fit into the ${gibibytes(machine.memory)} of ${machine.hasGpu ? "the GPU's" : "main"} memory that are free, not even as an adapter of 4-bit weights. Take a smaller model, or divide it: docs/parallelism.md`,
    { exitCode: 2 },
  );
}

interface Way {
  readonly adapter: Choice | undefined;
  /** quantize.base */
  readonly base?: Choice;
  readonly recomputes: Choice;
}

/** From what learns most to what needs least. */
function* waysToTrain({ modelConfig, stats, machine }: RecipeFacts): Generator<Way> {
  const parameters = countParameters(modelConfig);
  const keeps: Choice = { value: "none", reason: "all activations fit, and nothing is computed twice" };
  const recomputes: Choice = {
    value: "full",
    reason: "activations are computed again in backward: half of the memory, a third more time",
  };
  // A few hundred rows teach a large model manners, not facts.
  const isLittleData = parameters > 1e9 && stats.ledger.trained < 1000;
  if (!isLittleData) {
    yield { adapter: undefined, recomputes: keeps };
    yield { adapter: undefined, recomputes };
  }
  const reason = isLittleData
    ? `${stats.ledger.trained} rows are few for ${billions(parameters)} parameters: an adapter learns as much and forgets less`
    : `training all ${billions(parameters)} parameters needs more than the ${gibibytes(usableShare * machine.memory)} that are to be used`;
  const adapter: Choice = { value: "lora", reason };
  const base: Choice = { value: "nf4", reason: "the frozen weights fit in 4 bits, and not as they are" };
  yield { adapter, recomputes: keeps };
  yield { adapter, recomputes };
  yield { adapter, base, recomputes: keeps };
  yield { adapter, base, recomputes };
}

function recipeOf({ model, modelConfig, data, stats, machine }: RecipeFacts, way: Way): Recipe {
  const rows = stats.ledger.trained;
  const length = lengthOf(stats, modelConfig.maxPositions);
  const sequences = Math.max(1, Math.ceil(stats.tokens / (length.value as number)));
  const epochs = epochsOf(sequences);
  const batch = batchOf(sequences * (epochs.value as number), machine.gpus);
  const steps = Math.ceil((sequences * (epochs.value as number)) / (batch.value as number));
  const holdsOut = rows >= fewRows;
  const part = (split: string): Choice["value"] => [{ path: data, split }];
  return {
    model: {
      hf_assets_path: { value: model, reason: `${billions(countParameters(modelConfig))} parameters` },
    },
    processes: {
      procs: { value: machine.gpus, reason: machine.hasGpu ? "one for each GPU" : "one uses all cores" },
      with_gpus: {
        value: machine.hasGpu,
        reason: machine.hasGpu ? "there is one" : "there is no NVIDIA GPU",
      },
    },
    ...(way.adapter !== undefined && {
      adapter: {
        method: way.adapter,
        rank: { value: 16, reason: "enough for most; more for new knowledge" },
        alpha: { value: 32, reason: "twice the rank" },
      },
    }),
    ...(way.base !== undefined && { quantize: { base: way.base } }),
    training: {
      seq_len: length,
      local_batch_size: { value: 1, reason: "sequences at a time in a process: full packs keep it busy" },
      global_batch_size: batch,
      epochs,
      ...(machine.hasGpu && {
        mixed_precision_param: { value: "bfloat16", reason: "products in bfloat16; weights stay in float32" },
      }),
      datasets: {
        value: part(holdsOut ? "train[:95%]" : "train"),
        reason: `${rows} rows, ${stats.lengths.median} tokens each in the middle`,
      },
    },
    optimizer: { lr: rateOf(modelConfig, way.adapter !== undefined) },
    lr_scheduler: {
      warmup_steps: { value: Math.max(1, Math.round(steps / 20)), reason: `of about ${steps}` },
      decay_type: { value: "cosine", reason: "the last steps are small ones" },
    },
    ...(holdsOut && {
      eval: {
        eval_every_n_steps: { value: Math.max(1, Math.round(steps / 8)), reason: "eight points of a curve" },
        datasets: { value: part("train[95%:]"), reason: "rows that are not trained show when to stop" },
      },
    }),
    activation_checkpoint: { mode: way.recomputes },
    checkpoint: {
      interval: {
        value: Math.max(1, Math.round(steps / 3)),
        reason: "steps; a broken run goes on from there",
      },
    },
  };
}

function lengthOf({ lengths }: RecipeFacts["stats"], most: number): Choice {
  const rounded = (tokens: number): number =>
    Math.min(most, Math.max(smallestLength, 64 * Math.ceil(tokens / 64)));
  const [usual, all] = [rounded(lengths.p95), rounded(lengths.max)];
  if (all <= 1.5 * usual) {
    const reason =
      lengths.max > all
        ? `the longest row has ${lengths.max} tokens; the model has ${most} positions`
        : `the longest row has ${lengths.max} tokens; several rows share a sequence`;
    return { value: all, reason };
  }
  return { value: usual, reason: `95 % of the rows fit; the longest has ${lengths.max} tokens, and is cut` };
}

function epochsOf(sequences: number): Choice {
  if (sequences < 2000)
    return { value: 3, reason: `${sequences} sequences are few: each is seen three times` };
  if (sequences < 20_000) return { value: 2, reason: `${sequences} sequences` };
  return { value: 1, reason: `${sequences} sequences are enough for once` };
}

/** A power of 2, times the processes, so that there are some fifty steps or more. */
function batchOf(sequences: number, processes: number): Choice {
  const wanted = Math.min(32, Math.max(1, sequences / 50 / processes));
  const perProcess = 2 ** Math.floor(Math.log2(wanted));
  return { value: perProcess * processes, reason: "sequences a step: some fifty steps or more" };
}

function rateOf(config: ModelConfig, isAdapter: boolean): Choice {
  if (isAdapter) return { value: 2e-4, reason: "adapters begin at zero and take ten times more" };
  const parameters = countParameters(config);
  const value = [3e9, 1e9, 3e8].findIndex((size) => parameters >= size);
  return {
    value: [1e-5, 2e-5, 5e-5, 1e-4].at(value)!,
    reason: `usual for ${billions(parameters)} parameters`,
  };
}

/** The recipe as the run will read it. */
export function configOf(recipe: Recipe): Config {
  return Config.create(
    Object.fromEntries(
      Object.entries(recipe).map(([section, keys]) => [
        section,
        Object.fromEntries(Object.entries(keys).map(([key, { value }]) => [key, value])),
      ]),
    ),
  );
}

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
const billions = (count: number): string =>
  count >= 1e9 ? `${(count / 1e9).toFixed(1)} billion` : `${Math.round(count / 1e6)} million`;
