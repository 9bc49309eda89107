// Where a run starts from: agreed on by its ranks, and what is loaded from there. Which start it is, the checkpointer decides
// (checkpoint/load/start.ts).
import {
  loadWeights,
  StepCheckpoint,
  type Checkpointer,
  type Start,
  type StateParts,
} from "../../checkpoint/index.ts";
import { reshardLoaderStates, type LoaderState } from "../../data/index.ts";
import { blockSpecs, initializeParameters, savedShapes, type ModelConfig } from "../../models/index.ts";
import { parametersOf, tiedNames } from "../../nn/index.ts";
import type { Ranks } from "../../parallel/index.ts";
import type { Assembly } from "../assembly/assemble.ts";

/** Rank 0 looks at the folder; the others take its word. */
export async function agreeOnStart(checkpointer: Checkpointer, ranks: Ranks): Promise<Start> {
  let own: Start | undefined;
  const told = await ranks.fromRank0(() => {
    own = checkpointer.start();
    return "checkpoint" in own
      ? { kind: own.kind, note: own.note, path: own.checkpoint.path }
      : { ...own, path: "path" in own ? own.path : "" };
  });
  if (own !== undefined) return own;
  const { kind, note, path } = told;
  if (kind === "resume" || kind === "finished") return { kind, note, checkpoint: new StepCheckpoint(path) };
  return kind === "weights" ? { kind, note, path } : { kind, note };
}

/** This rank's data position: one for each data-parallel rank is saved. */
export function dataPosition(
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

/** How far the run is when it starts. */
export interface StartPoint {
  /** Steps that are done. */
  readonly step: number;
  /** The checkpoint that holds this step already. */
  readonly startedFrom: string | undefined;
  /** All steps were done, and the weights alone were kept: more steps can't go on exactly. */
  readonly endsHere?: boolean;
  /** What was found odd in the files. */
  readonly weightsNote?: string | undefined;
}

/** Fills weights and optimizer from where the run starts. */
export function loadStart(
  start: Start,
  checkpointer: Checkpointer,
  { strategy, optimizer }: Pick<Assembly, "strategy" | "optimizer">,
  modelConfig: ModelConfig,
): StartPoint {
  const { parameters, slices } = strategy;
  const blocks = blockSpecs(modelConfig);
  const specs = parametersOf(blocks);
  const weightOptions = { tied: tiedNames(blocks), slices, elsewhere: new Set(specs.keys()) };
  switch (start.kind) {
    case "resume": {
      const { checkpoint } = start;
      const { step } = checkpointer.resume(checkpoint, {
        model: strategy.saved,
        optimizer,
        slices,
        saved: savedShapes(modelConfig).keys(),
      });
      const startedFrom = step === checkpoint.step ? checkpoint.path : undefined;
      return { step, startedFrom, weightsNote: checkpoint.editedNote() };
    }
    case "finished": {
      // As for a resume, so that the run can still go on with more steps.
      const { checkpoint } = start;
      const { step, path: startedFrom } = checkpoint;
      const isFull = checkpoint.manifest.kind === "full";
      if (isFull) {
        const saved = savedShapes(modelConfig).keys();
        checkpointer.resume(checkpoint, { model: strategy.saved, optimizer, slices, saved });
        return { step, startedFrom, endsHere: false, weightsNote: checkpoint.editedNote() };
      }
      const { note: weightsNote } = loadWeights(startedFrom, parameters, weightOptions);
      return { step, startedFrom, endsHere: true, weightsNote };
    }
    case "random":
      initializeParameters(parameters, specs, { slices });
      return { step: 0, startedFrom: undefined };
    default: {
      const { note: weightsNote } = loadWeights(start.path, parameters, weightOptions);
      return { step: 0, startedFrom: undefined, weightsNote };
    }
  }
}
