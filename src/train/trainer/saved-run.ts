// A run as its checkpoints remember it, and what a resume makes of a difference: another model is refused, and another
// configuration is told, or refused where the user wants that.
import { isDeepStrictEqual } from "node:util";

import { StepCheckpoint } from "../../checkpoint/index.ts";
import { numbersOf, resumeDifferences, type Config } from "../../config/index.ts";
import type { Wording } from "../../data/index.ts";
import type { ModelConfig } from "../../models/index.ts";
import { UserError } from "../../util/index.ts";

/** Plain JSON. */
export interface SavedRun {
  /** By key. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly model: Partial<ModelConfig>;
  /** Of the whole run; missing in older ones. */
  readonly steps?: number;
  /** In which all its questions were asked; see wordingOf. */
  readonly wording?: Wording;
  /** Of an adapter: the weights that it adapts, which the checkpoint doesn't hold. */
  readonly base?: { readonly path: string; readonly digest: string } | undefined;
}

export const savedRun = (
  config: Config,
  model: ModelConfig,
  more: Pick<SavedRun, "base"> & { wording?: Wording | undefined } = {},
): SavedRun =>
  JSON.parse(
    JSON.stringify({ config: numbersOf(config), model, steps: config.spec.steps, ...more }),
  ) as SavedRun;

/**
 * An adapter goes on with the base that it was trained on.
 * @throws UserError for another one
 */
export function refuseOtherBase({ path, manifest }: StepCheckpoint, now: SavedRun["base"]): void {
  const saved = (manifest.run as unknown as SavedRun | undefined)?.base;
  if (saved === undefined || now === undefined || saved.digest === now.digest) return;
  throw new UserError(
    `model.hf_assets_path: ${path} is an adapter of the weights in ${saved.path} (digest ${saved.digest.slice(0, 12)}), and ${now.path} holds others (digest ${now.digest.slice(0, 12)}). Give the model that it was trained on.`,
    { exitCode: 2 },
  );
}

/** In what wording the model of a folder was asked when it was trained; `undefined` for one that isn't of a run of ours. */
export function wordingIn(folder: string): Wording | undefined {
  let run: SavedRun | undefined;
  try {
    run = new StepCheckpoint(folder).manifest.run as unknown as SavedRun | undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error; // whoever loads its weights says what is wrong with it
  }
  return run?.wording === "alpaca" || run?.wording === "instruction" ? run.wording : undefined;
}

/** config.json's names, where they aren't ours in snake_case. */
const names: Readonly<Partial<Record<keyof ModelConfig, string>>> = {
  family: "model_type",
  numLayers: "num_hidden_layers",
  numHeads: "num_attention_heads",
  numKvHeads: "num_key_value_heads",
  normEps: "rms_norm_eps",
  qkvBias: "attention_bias",
  tieEmbeddings: "tie_word_embeddings",
};

const snakeCase = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const nameOf = (key: keyof ModelConfig): string => names[key] ?? snakeCase(key);

/**
 * Compares a run with the one that `checkpoint` is of.
 * @returns what has changed, a line each; empty where nothing that changes the numbers has, or the checkpoint is of an older version
 * @throws UserError for another model, and with checkpoint.strict_resume for another configuration
 */
export function compareWithSaved(
  { path, manifest }: StepCheckpoint,
  config: Config,
  model: ModelConfig,
): string[] {
  const saved = manifest.run as unknown as SavedRun | undefined;
  if (saved === undefined) return [];
  refuseOtherModel(path, saved.model, savedRun(config, model).model, config);
  const changes = resumeDifferences(saved.config, config).map(
    ({ key, before, after }) => `  ${key}: ${JSON.stringify(before)} → ${JSON.stringify(after)}`,
  );
  if (changes.length > 0 && config.checkpoint.strict_resume)
    throw new UserError(
      `checkpoint.strict_resume: ${path} was saved with another configuration (saved → now):\n${changes.join("\n")}\nGive the saved values, or leave out --strict-resume (checkpoint.strict_resume) to go on with the new ones.`,
      { exitCode: 2 },
    );
  const heading = "the configuration is not the one that was saved; from here on (saved → now):";
  return [
    ...(changes.length > 0 ? [heading, ...changes] : []),
    ...seedNote(manifest.parts.train_state, config),
  ];
}

function refuseOtherModel(
  path: string,
  saved: Partial<ModelConfig>,
  now: Partial<ModelConfig>,
  config: Config,
): void {
  const differences = modelDifferences(saved, now);
  if (differences.length === 0) return;
  throw new UserError(
    `model.hf_assets_path: ${path} is a checkpoint of another model than ${config.model.hf_assets_path}; in config.json (saved → now):\n${differences.map((line) => `  ${line}`).join("\n")}\nResume with the config.json that it was saved with, or begin anew with another job.name or checkpoint.folder.`,
    { exitCode: 2 },
  );
}

/**
 * What differs between two models, a line each. What an older version didn't save isn't compared; positions beyond those that the
 * model was trained on are warned of elsewhere, and change nothing.
 */
export function modelDifferences(before: Partial<ModelConfig>, now: Partial<ModelConfig>): string[] {
  const saved = inNewForm(before);
  return (Object.keys(now) as (keyof ModelConfig)[])
    .filter((key) => key !== "maxPositions" && key in saved)
    .flatMap((key) =>
      key === "ropes"
        ? ropeDifferences(saved.ropes!, now.ropes!)
        : differences(nameOf(key), saved[key], now[key]),
    );
}

/** Checkpoints once had one rotary embedding for all layers. */
function inNewForm(saved: Partial<ModelConfig>): Partial<ModelConfig> {
  const { ropeTheta, ropeScaling } = saved as {
    ropeTheta?: number;
    ropeScaling?: ModelConfig["ropes"][number]["scaling"];
  };
  if (ropeTheta === undefined || saved.ropes !== undefined) return saved;
  return { ...saved, ropes: [{ dim: saved.headDim!, theta: ropeTheta, scaling: ropeScaling }] };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Of an object the keys that both have. */
function differences(name: string, saved: unknown, now: unknown): string[] {
  if (isRecord(saved) && isRecord(now))
    return Object.keys(saved)
      .filter((key) => key in now)
      .flatMap((key) => differences(`${name}.${snakeCase(key)}`, saved[key], now[key]));
  return isDeepStrictEqual(saved, now) ? [] : [`${name}: ${JSON.stringify(saved)} → ${JSON.stringify(now)}`];
}

function ropeDifferences(saved: ModelConfig["ropes"], now: ModelConfig["ropes"]): string[] {
  if (saved.length !== now.length)
    return [`rope_parameters: ${JSON.stringify(saved)} → ${JSON.stringify(now)}`];
  const parts = { theta: "rope_theta", scaling: "rope_scaling", dim: "rotated dimensions" } as const;
  return saved.flatMap((rope, i) =>
    (Object.keys(parts) as (keyof typeof parts)[]).flatMap((part) =>
      isDeepStrictEqual(rope[part], now[i]![part])
        ? []
        : [
            `${parts[part]}: ${JSON.stringify(rope[part] ?? null)} → ${JSON.stringify(now[i]![part] ?? null)}`,
          ],
    ),
  );
}

function seedNote(state: unknown, config: Config): string[] {
  const seed = (state as { seed?: number } | undefined)?.seed;
  const { seed: wanted } = config.training;
  return seed === undefined || wanted === null || wanted === seed
    ? []
    : [
        `training.seed: ${seed} → ${wanted} changes nothing: the random numbers go on where the checkpoint left them`,
      ];
}
