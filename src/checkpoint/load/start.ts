// Where a run begins: with which checkpoint, which weights, or at random. Only decides, and says why; loads nothing.
// A folder with a complete checkpoint wins over the initial weights, so that the same command resumes after a crash.
import { existsSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { checkpointPath, isResumable, UserError } from "../../util/index.ts";
import { adapterConfigName } from "../hf/adapter-files.ts";
import { manifestName } from "../step/manifest.ts";
import {
  exportPath,
  listCheckpoints,
  stepPath,
  type BrokenCheckpoint,
  type CheckpointInfo,
} from "../step/step-folder.ts";
import { StepCheckpoint } from "./step-checkpoint.ts";

export interface StartOptions {
  /** `checkpoint.folder`, absolute. */
  readonly folder: string;
  /** `checkpoint.enable`: without it the folder is not looked at. */
  readonly enable?: boolean;
  /** `checkpoint.load_step`. */
  readonly loadStep?: number;
  /** `checkpoint.initial_load_path`; `hf://` names are for the caller to resolve. */
  readonly initialLoadPath?: string | null;
  /** `checkpoint.initial_load_in_hf`. */
  readonly initialLoadInHf?: boolean;
  /** `model.hf_assets_path`, resolved. */
  readonly hfAssetsPath?: string | undefined;
  /** Steps of the run: tells one that is over. Infinity where they aren't known yet. */
  readonly steps: number;
  /** `checkpoint.exclude_from_loading`: without `train_state` steps are counted anew. */
  readonly excludeFromLoading?: readonly string[];
}

export type Start =
  /** Go on exactly after `checkpoint.step` steps. `note` is a line for the user. */
  | { readonly kind: "resume"; readonly checkpoint: StepCheckpoint; readonly note: string }
  /** All steps are done; `checkpoint` may hold the weights alone. */
  | { readonly kind: "finished"; readonly checkpoint: StepCheckpoint; readonly note: string }
  /** Begin at step 0 with the weights in this folder. */
  | { readonly kind: "weights"; readonly path: string; readonly note: string }
  | { readonly kind: "random"; readonly note: string };

/** @throws UserError when what the configuration names isn't there, isn't complete or can't be resumed from */
export function chooseStart(options: StartOptions): Start {
  if (options.enable ?? true) {
    const resumed = fromFolder(options);
    if (resumed) return resumed;
  }
  const { initialLoadPath: path = null, hfAssetsPath } = options;
  if (path !== null) return fromPath(path, options);
  if (options.initialLoadInHf === false || hfAssetsPath === undefined)
    return { kind: "random", note: "starts from random weights" };
  return { kind: "weights", path: hfAssetsPath, note: `starts from the weights in ${hfAssetsPath}` };
}

function fromFolder(options: StartOptions): Start | undefined {
  const { folder, loadStep: wanted = -1, steps } = options;
  const { complete, broken } = listCheckpoints(folder);
  if (wanted >= 0) return atStep(folder, wanted, complete, broken);
  const latest = complete.at(-1);
  const usable = complete.findLast(({ manifest }) => manifest.kind === "full");
  refuseBroken(broken, latest, usable);
  if (latest === undefined) return undefined;
  // Its last save, of the weights alone or not, is the result of a run that needs no further step.
  if (latest.step >= steps) {
    const onward =
      latest.manifest.kind === "full"
        ? "raise training.steps to go on, or choose another checkpoint.folder to begin anew"
        : `it holds the weights alone, so that a run that goes on begins anew with them: checkpoint.initial_load_path=${latest.path} and another checkpoint.folder`;
    const note = `${latest.path} is already trained for ${latest.step} of ${steps} steps; ${onward}`;
    return { kind: "finished", checkpoint: new StepCheckpoint(latest.path), note };
  }
  if (usable === undefined) {
    throw new UserError(
      `${latest.path}: holds the weights alone, and training can't go on exactly from them. Either start a new run from them (checkpoint.initial_load_path=${latest.path} and another checkpoint.folder), or remove ${folder}. Runs with checkpoint.last_save_model_only=false keep the rest.`,
    );
  }
  const passedOver = latest === usable ? "" : ` (step ${latest.step} holds the weights alone)`;
  return {
    kind: "resume",
    checkpoint: new StepCheckpoint(usable.path),
    note: `resumes after step ${usable.step}${Number.isFinite(steps) ? ` of ${steps}` : ""} from ${usable.path}${passedOver}`,
  };
}

/** A folder that would be the latest but can't be loaded stops the run: going on silently would lose its steps. */
function refuseBroken(
  broken: readonly BrokenCheckpoint[],
  latest: CheckpointInfo | undefined,
  usable: CheckpointInfo | undefined,
): void {
  const worst = broken.at(-1);
  if (worst === undefined || (latest !== undefined && latest.step > worst.step)) return;
  const way =
    usable === undefined
      ? "There is no complete checkpoint beside it."
      : `The checkpoint of step ${usable.step} is complete: resume from it with checkpoint.load_step=${usable.step}.`;
  throw new UserError(`${worst.reason} ${way} To leave ${basename(worst.path)} aside, move it away.`);
}

function atStep(
  folder: string,
  wanted: number,
  complete: readonly CheckpointInfo[],
  broken: readonly BrokenCheckpoint[],
): Start {
  const found = complete.find(({ step }) => step === wanted);
  const others = complete
    .filter(({ manifest }) => manifest.kind === "full")
    .map(({ step }) => step)
    .sort((a, b) => a - b);
  const choice =
    others.length > 0 ? `Complete ones: ${others.join(", ")}.` : "It holds no complete checkpoint.";
  if (found === undefined) {
    const reason = broken.find(({ step }) => step === wanted)?.reason;
    if (reason !== undefined) throw new UserError(`checkpoint.load_step=${wanted}: ${reason} ${choice}`);
    throw new UserError(
      `checkpoint.load_step: expected a checkpoint at ${stepPath(folder, wanted)}, found none. ${choice}`,
    );
  }
  if (found.manifest.kind !== "full") {
    throw new UserError(
      `checkpoint.load_step=${wanted}: ${found.path} holds the weights alone, and can't be resumed from. ${choice}`,
    );
  }
  return {
    kind: "resume",
    checkpoint: new StepCheckpoint(found.path),
    note: `resumes after step ${wanted} from ${found.path} (checkpoint.load_step)`,
  };
}

/** A run that goes on from here would have nothing to do. */
function refuseTrained(
  { path, step }: StepCheckpoint,
  { steps, excludeFromLoading = [] }: StartOptions,
): void {
  if (step < steps || excludeFromLoading.includes("train_state")) return;
  const name = "checkpoint.initial_load_path";
  const exported = exportPath(dirname(resolve(path)), step);
  const anew = existsSync(exported) ? `, or begin anew with its weights: ${name}=${exported}` : "";
  throw new UserError(
    `${name}: ${path} is trained for ${step} steps already, and training.steps is ${steps}; raise training.steps to go on from it${anew}`,
    { exitCode: 2 },
  );
}

/** The folder with the weights that a run which begins anew would begin with: the base of its adapter. */
export function baseOf({ initialLoadPath: given = null, hfAssetsPath }: StartOptions): string {
  const path = given === null ? undefined : checkpointPath(given);
  const holdsBase = path !== undefined && !existsSync(join(path, adapterConfigName)) && !isResumable(path);
  return holdsBase ? path : hfAssetsPath!;
}

function fromPath(given: string, options: StartOptions): Start {
  const name = "checkpoint.initial_load_path";
  const path = checkpointPath(given);
  if (!existsSync(path) || !statSync(path).isDirectory())
    throw new UserError(`${name}: expected a folder, found none at ${path}.`);
  if (existsSync(join(path, manifestName))) {
    const checkpoint = new StepCheckpoint(path);
    if (checkpoint.manifest.kind === "full") {
      refuseTrained(checkpoint, options);
      return {
        kind: "resume",
        checkpoint,
        note: `resumes after step ${checkpoint.step} from ${path} (${name})`,
      };
    }
  } else if (/step-\d+\/*$/.test(path) && !existsSync(join(path, "config.json"))) {
    // Neither ours nor a model: say what is missing of both, before the weights are looked for.
    throw new UserError(
      `${name}: ${path} is neither a complete checkpoint of torchforge (${manifestName} is missing) nor a Hugging Face folder (config.json is missing).`,
    );
  }
  if (existsSync(join(path, adapterConfigName)))
    throw new UserError(
      `${name}: ${path} holds an adapter, no model; give it as adapter.initial_load_path, and the model that it adapts as model.hf_assets_path.`,
      { exitCode: 2 },
    );
  return { kind: "weights", path, note: `starts from the weights in ${path} (${name})` };
}
