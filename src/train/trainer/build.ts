// Everything that a trainer is made of, from a configuration: ranks, run folder, data, model, optimizer, and what a
// checkpoint gives them. In several ranks each comes here; what must be found or made once, rank 0 does.
import {
  Checkpointer,
  loadWeights,
  StepCheckpoint,
  type Start,
  type StateParts,
} from "../../checkpoint/index.ts";
import { flightRecorderFolder, isInitialized, setCallTimeout } from "../../comm/index.ts";
import type { Config } from "../../config/index.ts";
import {
  loadTokenizer,
  openLoader,
  reshardLoaderStates,
  trainingData,
  type DataLoader,
  type LoaderState,
  type Tokenizer,
} from "../../data/index.ts";
import { resolveModel } from "../../hub/index.ts";
import { RunFolder } from "../../metrics/index.ts";
import {
  blockSpecs,
  checkFlavor,
  initializeParameters,
  readModelConfig,
  savedShapes,
  type Decoder,
  type ModelConfig,
} from "../../models/index.ts";
import { parametersOf, tiedNames } from "../../nn/index.ts";
import type { Optimizer } from "../../optim/index.ts";
import {
  stagesPerRank,
  type ContextRegion,
  type PipelinePlace,
  type Ranks,
  type Strategy,
} from "../../parallel/index.ts";
import { info, manualSeed, useDeterministicAlgorithms, withoutHugePages } from "../../torch/index.ts";
import { messageOf } from "../../util/index.ts";
import { assemble } from "./assemble.ts";
import { contextOf, openPlacement, placeStages, type Placement } from "./parallelize.ts";
import { otherRanksRun, type RunPlace } from "./run-place.ts";

/** What the run keeps about itself in a checkpoint, beside weights, optimizer and data position. */
export interface TrainState {
  tokens: number;
  seed: number;
}

export interface TrainerParts {
  config: Config;
  modelConfig: ModelConfig;
  ranks: Ranks;
  strategy: Strategy;
  /** The ranks among which rows are cut. */
  context: ContextRegion | undefined;
  model: Decoder;
  optimizer: Optimizer;
  tokenizer: Tokenizer;
  loader: DataLoader;
  run: RunPlace;
  checkpointer: Checkpointer;
  /** Folder of the model that the run started from. */
  assets: string;
  seed: number;
  /** Steps that are done. */
  step: number;
  tokens: number;
  /** Step at which the learning rate's schedule began. */
  scheduleStart: number;
  /** The checkpoint that holds this step already. */
  startedFrom: string | undefined;
}

/**
 * Builds everything; loads weights, or the checkpoint that the run goes on from.
 * @throws UserError for anything in the configuration, model or data that can't be used
 */
export async function buildTrainer(config: Config, onNote: (text: string) => void): Promise<TrainerParts> {
  const { spec } = config;
  // To the end of the first step, which makes what later ones use again; see trainer.ts.
  if (isInitialized()) setCallTimeout(spec.comm.initTimeoutSeconds);
  const placement = await openPlacement(spec);
  const { ranks, dims } = placement;
  const note = ranks.isFirst ? onNote : () => undefined;
  const assets = await ranks.firstThenOthers(() => resolveModel(spec.model.hfAssetsPath));
  const modelConfig = readModelConfig(assets);
  checkFlavor(spec.model.name, spec.model.flavor, modelConfig);
  dims.checkModel(modelConfig, stagesPerRank(spec.pipelineSchedule));
  const stages = await placeStages(spec, modelConfig, placement);
  if (spec.seqLen > modelConfig.maxPositions) {
    note(
      `training.seq_len ${spec.seqLen} is more than the ${modelConfig.maxPositions} positions that the model was trained on`,
    );
  }
  const tokenizer = loadTokenizer(assets);
  const run = await openRun(config, ranks);
  try {
    return await buildIn({ config, placement, stages, assets, modelConfig, tokenizer, run, note });
  } catch (error) {
    run.end("failed", String(error));
    throw error;
  }
}

async function openRun(config: Config, ranks: Ranks): Promise<RunPlace> {
  const { checkpoint, comm, job, model, steps } = config.spec;
  let opened: RunFolder | undefined;
  const path = await ranks.fromFirst(() => {
    opened = RunFolder.open({
      ...job,
      model: model.hfAssetsPath,
      steps,
      configYaml: config.toYaml(),
      versions: { torch: info().torchVersion },
    });
    const { enable, loadOnly, folder } = checkpoint;
    try {
      if (enable && !loadOnly) opened.claim(opened.resolve(folder), "checkpoint.folder");
    } catch (error) {
      opened.end("failed", messageOf(error));
      throw error;
    }
    return opened.path;
  });
  const run = opened ?? otherRanksRun(path);
  flightRecorderFolder(run.resolve(comm.saveTracesFolder));
  return run;
}

interface Given {
  config: Config;
  placement: Placement;
  stages: PipelinePlace | undefined;
  assets: string;
  modelConfig: ModelConfig;
  tokenizer: Tokenizer;
  run: RunPlace;
  note: (text: string) => void;
}

async function buildIn(given: Given): Promise<TrainerParts> {
  const { config, assets, run, tokenizer, note } = given;
  const { ranks } = given.placement;
  const { spec } = config;
  const { initialLoadPath: initial } = spec.checkpoint;
  const checkpointer = new Checkpointer({
    ...spec.checkpoint,
    folder: run.resolve(spec.checkpoint.folder),
    hfAssetsPath: assets,
    steps: spec.steps,
    ranks,
    initialLoadPath:
      initial === null
        ? null
        : await ranks.firstThenOthers(() => resolveModel(initial, { key: "checkpoint.initial_load_path" })),
  });
  const start = await agreeOnStart(checkpointer, ranks);
  note(start.note);

  // The data comes first: what it refuses, such as rows of which nothing would be trained, is said before the cost of
  // loading weights.
  const parts = start.kind === "resume" ? checkpointer.partsOf(start.checkpoint) : {};
  const loader = await ranks.together(() =>
    openLoader({
      ...trainingData(spec, tokenizer, ranks.data),
      state: loaderState(parts, ranks, note),
      onWarning: note,
    }),
  );
  try {
    await ranks.together(() => loader.findTrainable());
    const seed = await ranks.fromFirst(() => spec.seed ?? Math.floor(Math.random() * 2 ** 31));
    return await ranks.together(() =>
      withoutHugePages(() => load(given, { checkpointer, start, parts, loader, seed })),
    );
  } catch (error) {
    await loader.close();
    throw error;
  }
}

/** Rank 0 looks at the folder; the others take its word. */
async function agreeOnStart(checkpointer: Checkpointer, ranks: Ranks): Promise<Start> {
  let own: Start | undefined;
  const told = await ranks.fromFirst(() => {
    own = checkpointer.start();
    return own.kind === "resume" ? { kind: own.kind, note: own.note, path: own.checkpoint.path } : { ...own };
  });
  if (own !== undefined) return own;
  return told.kind === "resume"
    ? { kind: told.kind, note: told.note, checkpoint: new StepCheckpoint(told.path) }
    : told;
}

/** This rank's data position: one for each data-parallel rank is saved. */
function loaderState(
  parts: StateParts,
  { data }: Ranks,
  note: (text: string) => void,
): LoaderState | undefined {
  const found = parts.dataloader as unknown as LoaderState | LoaderState[] | undefined;
  if (found === undefined) return undefined;
  const saved = Array.isArray(found) ? found : [found];
  if (saved.length !== data.worldSize) {
    note(
      `the checkpoint is of ${saved.length} data-parallel ranks and this run has ${data.worldSize}: rows that some of them had read already may come again, none is left out`,
    );
  }
  return reshardLoaderStates(saved, data.worldSize)[data.rank];
}

/** Builds the model and fills it from where the run starts. */
function load(
  given: Given,
  found: {
    checkpointer: Checkpointer;
    start: Start;
    /** What the checkpoint holds beside tensors, if there is one. */
    parts: StateParts;
    loader: DataLoader;
    seed: number;
  },
): TrainerParts {
  const { config, modelConfig, placement, stages } = given;
  const { checkpointer, start, parts, seed } = found;
  const { spec } = config;
  const state = parts.train_state as TrainState | undefined;
  const schedule = parts.lr_scheduler as { step: number } | undefined;
  manualSeed(seed);
  if (spec.deterministic) useDeterministicAlgorithms(true);
  const { strategy, model, optimizer } = assemble(spec, modelConfig, placement, stages);
  const { parameters, slices } = strategy;

  const blocks = blockSpecs(modelConfig);
  const specs = parametersOf(blocks);
  let startedFrom: string | undefined;
  let step = 0;
  if (start.kind === "resume") {
    step = checkpointer.resume(start.checkpoint, {
      model: strategy.saved,
      optimizer,
      slices,
      saved: savedShapes(modelConfig).keys(),
    }).step;
    if (step === start.checkpoint.step) startedFrom = start.checkpoint.path;
  } else if (start.kind === "random") {
    initializeParameters(parameters, specs, { slices });
  } else {
    loadWeights(start.path, parameters, {
      tied: tiedNames(blocks),
      slices,
      elsewhere: new Set(specs.keys()),
    });
    if (start.kind === "finished") {
      step = start.step;
      startedFrom = start.path;
    }
  }
  return {
    config,
    modelConfig,
    ranks: placement.ranks,
    strategy,
    context: contextOf(spec, placement),
    model,
    optimizer,
    tokenizer: given.tokenizer,
    loader: found.loader,
    run: given.run,
    checkpointer,
    assets: given.assets,
    seed: state?.seed ?? seed,
    step,
    tokens: state?.tokens ?? 0,
    scheduleStart: start.kind === "resume" ? step - (schedule?.step ?? 0) : 0,
    startedFrom,
  };
}
