// Everything that a trainer is made of, in the order in which it can be refused: ranks, model folder, run folder, start, data,
// and at last what takes memory and time: the model. Each rank of a run comes here.
import { basename, dirname, isAbsolute } from "node:path";

import { carriedNote, Checkpointer, digestOfWeights, type Start } from "../../checkpoint/index.ts";
import { isInitialized, setCallTimeout } from "../../comm/index.ts";
import type { Config, RunSpec } from "../../config/index.ts";
import {
  loadTokenizer,
  openLoader,
  trainingData,
  type DataLoader,
  type HeldOutData,
  type Tokenizer,
} from "../../data/index.ts";
import { resolveModel } from "../../hub/index.ts";
import {
  checkFlavor,
  notHonoured,
  ownPrefixesOf,
  readModelConfig,
  type ModelConfig,
} from "../../models/index.ts";
import { stagesPerRank, type ContextRegion, type Ranks } from "../../parallel/index.ts";
import { manualSeed, useDeterministicAlgorithms, withoutHugePages } from "../../torch/index.ts";
import { checkpointPath, isCheckpoint } from "../../util/index.ts";
import { assemble, type Assembly } from "../assembly/assemble.ts";
import { contextOf, openPlacement, placeStages } from "../assembly/placement.ts";
import { trainedBlocks } from "../assembly/trained-blocks.ts";
import { evaluationDigest, type BestEvaluation } from "./best.ts";
import { openHeldOut } from "./evaluation.ts";
import { countSteps, knownSteps, tellDone } from "./epochs.ts";
import { openRun, type RunPlace } from "./run-place.ts";
import { compareWithSaved, refuseOtherBase, type SavedRun } from "./saved-run.ts";
import { progressOf, type TrainState } from "./train-state.ts";
import { agreeOnStart, dataPosition, loadStart, type StartPoint } from "./start.ts";

export interface TrainerParts extends Assembly, StartPoint, TrainState {
  readonly config: Config;
  readonly modelConfig: ModelConfig;
  readonly ranks: Ranks;
  /** The ranks that share each sequence; undefined without context parallelism. */
  readonly context: ContextRegion | undefined;
  readonly tokenizer: Tokenizer;
  readonly loader: DataLoader;
  readonly heldOut: HeldOutData;
  readonly run: RunPlace;
  readonly checkpointer: Checkpointer;
  /** See SavedRun. */
  readonly base: SavedRun["base"];
  /** Step at which the learning rate's schedule began. */
  readonly scheduleStart: number;
}

/**
 * Builds everything; loads weights, or the checkpoint that the run goes on from.
 * @throws UserError for anything in the configuration, model or data that can't be used
 */
export async function buildTrainer(given: Config, onNote: (text: string) => void): Promise<TrainerParts> {
  let config = given;
  let { spec } = config;
  // To the end of the first step, which makes what later ones use again; see trainer.ts.
  if (isInitialized()) setCallTimeout(spec.comm.initTimeoutSeconds);
  const placement = await openPlacement(spec);
  const { ranks, dims } = placement;
  const note = ranks.isFirst ? onNote : () => undefined;

  const assets = await ranks.rank0ThenOthers(() => resolveModel(spec.model.hfAssetsPath));
  const modelConfig = readModelConfig(assets);
  for (const line of notHonoured(assets)) note(line);
  const ownPrefixes = ownPrefixesOf(modelConfig);
  const carried = ownPrefixes && carriedNote(assets, ownPrefixes);
  if (carried !== undefined) note(carried);
  checkFlavor(spec.model.name, spec.model.flavor, modelConfig);
  trainedBlocks(spec, modelConfig); // refuses patterns that match nothing
  dims.checkModel(modelConfig, stagesPerRank(spec.pipelineSchedule));
  const stages = await placeStages(spec, modelConfig, placement);
  if (spec.seqLen > modelConfig.maxPositions) {
    note(
      `training.seq_len ${spec.seqLen} is more than the ${modelConfig.maxPositions} positions that the model was trained on`,
    );
  }
  const { chatTemplate } = spec.model;
  const tokenizer = loadTokenizer(assets, { chatTemplate });

  const known = await ranks.fromRank0(() => knownSteps(config) ?? null);
  if (known !== null) ({ spec } = config = config.ofSteps(known));
  const run = await openRun(config, ranks);
  try {
    const checkpointer = await openCheckpointer(
      spec,
      run,
      ranks,
      assets,
      chatTemplate === null ? undefined : tokenizer.chatTemplates["default"]?.text,
    );
    const start = await agreeOnStart(checkpointer, ranks);
    note(start.note);
    const from = "checkpoint" in start ? start.checkpoint : undefined;
    const tellChanges = (): void => {
      // A finished run's folder is open where its model is still to be exported.
      if (from === undefined || !run.isOpen) return;
      for (const line of compareWithSaved(from, config, modelConfig)) note(line);
    };
    if (Number.isFinite(spec.steps)) tellChanges();
    const base = await baseOf(spec, start, checkpointer, ranks);
    if (from !== undefined) refuseOtherBase(from, base);
    const saved = from?.manifest.kind === "full" ? checkpointer.partsOf(from) : {};
    const { state, scheduledSteps } = progressOf(saved, from);

    // The data comes before the weights: what it refuses, such as rows of which nothing would be trained, is said before the
    // cost of loading them.
    const loader = await ranks.runOnAll(() =>
      openLoader({
        ...trainingData(spec, tokenizer, ranks.data),
        state: dataPosition(saved, ranks, note),
        onWarning: note,
      }),
    );
    let heldOut: HeldOutData | undefined;
    try {
      if (!Number.isFinite(spec.steps)) {
        const done = saved.train_state === undefined ? 0 : from!.step;
        const steps = await countSteps(loader, spec, done, ranks, note);
        if (steps === done) {
          const isOwn = dirname(from!.path) === run.resolve(spec.checkpoint.folder);
          note(tellDone(from!.path, done, spec.data.epochs!, isOwn));
        }
        ({ spec } = config = config.ofSteps(steps));
        for (const line of config.warnings.filter((one) => !given.warnings.includes(one))) note(line);
        run.configure(config.toYaml(), steps);
        checkpointer.configure({ ...spec.checkpoint, steps });
        tellChanges();
      }
      run.recordData(spec.data.datasets.map(({ path }, i) => ({ path, format: loader.formats[i]!.format })));
      await ranks.runOnAll(() => loader.findTrainable());
      heldOut = await openHeldOut(spec, tokenizer, loader, ranks, note);
      const seed = await ranks.fromRank0(() => spec.seed ?? Math.floor(Math.random() * 2 ** 31));
      const loaded = await ranks.runOnAll(() =>
        withoutHugePages(() => {
          manualSeed(seed);
          if (spec.deterministic) useDeterministicAlgorithms(true);
          const assembled = assemble(spec, modelConfig, placement, stages);
          return { ...assembled, ...loadStart(start, checkpointer, assembled, spec.adapter) };
        }),
      );
      const best = await ranks.fromRank0(() => bestSoFar(state?.best, checkpointer, spec) ?? null);
      if (best !== null) checkpointer.keepBest(best.step);
      if (loaded.weightsNote !== undefined) note(loaded.weightsNote);
      if (best !== null)
        run.recordBest({ step: best.step, eval_loss: best.loss, checkpoint: checkpointer.find(best.step)! });
      return {
        ...loaded,
        config,
        modelConfig,
        ranks,
        context: contextOf(spec, placement),
        tokenizer,
        loader,
        heldOut,
        run,
        checkpointer,
        base,
        seed: state?.seed ?? seed,
        tokens: state?.tokens ?? 0,
        ...(best !== null && { best }),
        scheduleStart: from?.manifest.kind === "full" ? loaded.step - scheduledSteps : 0,
      };
    } catch (error) {
      await heldOut?.close();
      await loader.close();
      throw error;
    }
  } catch (error) {
    run.end("failed", String(error));
    throw error;
  }
}

/** The best evaluation that was saved, where its checkpoint is in the run's folder, and it is of what will be evaluated now. */
function bestSoFar(
  saved: BestEvaluation | undefined,
  checkpointer: Checkpointer,
  { checkpoint, evaluation }: RunSpec,
): BestEvaluation | undefined {
  const isOfThis = checkpoint.keepBest && saved?.digest === evaluationDigest(evaluation);
  return isOfThis && checkpointer.find(saved.step) !== undefined ? saved : undefined;
}

/** The weights that an adapter is of. */
async function baseOf(
  { adapter }: RunSpec,
  start: Start,
  checkpointer: Checkpointer,
  ranks: Ranks,
): Promise<SavedRun["base"]> {
  if (adapter === undefined) return undefined;
  const path = start.kind === "weights" ? start.path : checkpointer.base;
  return { path, digest: await ranks.fromRank0(() => digestOfWeights(path)) };
}

async function openCheckpointer(
  { checkpoint, job, steps }: RunSpec,
  run: RunPlace,
  ranks: Ranks,
  assets: string,
  chatTemplate: string | undefined,
): Promise<Checkpointer> {
  const initial = checkpoint.initialLoadPath === null ? null : checkpointPath(checkpoint.initialLoadPath);
  const checkpointer = new Checkpointer({
    ...checkpoint,
    folder: run.resolve(checkpoint.folder),
    again:
      job.name === null && !isAbsolute(checkpoint.folder)
        ? `the same command with job.name=${basename(run.path)}`
        : undefined,
    hfAssetsPath: assets,
    chatTemplate,
    steps,
    ranks,
    initialLoadPath:
      initial === null || isCheckpoint(initial)
        ? initial
        : await ranks.rank0ThenOthers(() => resolveModel(initial, { key: "checkpoint.initial_load_path" })),
  });
  if (run.isOpen) checkpointer.clean();
  return checkpointer;
}
