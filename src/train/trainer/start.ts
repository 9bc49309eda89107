// Where a run starts from: agreed on by its ranks, and what is loaded from there. Which start it is, the checkpointer decides
// (checkpoint/load/start.ts).
import {
  loadAdapter,
  loadWeights,
  StepCheckpoint,
  type Checkpointer,
  type Start,
  type StateParts,
} from "../../checkpoint/index.ts";
import type { RunSpec } from "../../config/index.ts";
import { reshardLoaderStates, type LoaderState } from "../../data/index.ts";
import {
  formatsOf,
  initializeAdapters,
  initializeParameters,
  isOfAdapter,
  savedShapes,
} from "../../models/index.ts";
import { parametersOf, fileNames } from "../../nn/index.ts";
import type { Ranks } from "../../parallel/index.ts";
import { expandHome } from "../../util/index.ts";
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

/** Fills weights and optimizer from where the run starts. @param adapter of the run; undefined: none */
export function loadStart(
  start: Start,
  checkpointer: Checkpointer,
  { blocks, strategy, optimizer }: Pick<Assembly, "blocks" | "strategy" | "optimizer">,
  adapter?: RunSpec["adapter"],
): StartPoint {
  const { slices } = strategy;
  const specs = parametersOf(blocks);
  const isAdapter = isOfAdapter(blocks);
  // What the base's folder has: all but what an adapter adds.
  const parameters = new Map([...strategy.parameters].filter(([name]) => !isAdapter(name)));
  const formats = formatsOf(blocks);
  const weightOptions = { ...fileNames(blocks), slices, formats, elsewhere: new Set(specs.keys()) };
  switch (start.kind) {
    case "resume": {
      const { checkpoint } = start;
      if (adapter !== undefined) loadWeights(checkpointer.base, parameters, weightOptions);
      const { step } = checkpointer.resume(checkpoint, {
        model: strategy.saved,
        optimizer,
        slices,
        saved: savedShapes(blocks).keys(),
        places: weightOptions.places,
      });
      const startedFrom = step === checkpoint.step ? checkpoint.path : undefined;
      return { step, startedFrom, weightsNote: checkpoint.editedNote() };
    }
    case "finished": {
      // As for a resume, so that the run can still go on with more steps.
      const { checkpoint } = start;
      const { step, path: startedFrom } = checkpoint;
      const isFull = checkpoint.manifest.kind === "full";
      if (adapter !== undefined) loadWeights(checkpointer.base, parameters, weightOptions);
      if (isFull) {
        const saved = savedShapes(blocks).keys();
        const { places } = weightOptions;
        checkpointer.resume(checkpoint, { model: strategy.saved, optimizer, slices, saved, places });
        return { step, startedFrom, endsHere: false, weightsNote: checkpoint.editedNote() };
      }
      const { note: weightsNote } =
        adapter === undefined
          ? loadWeights(startedFrom, parameters, weightOptions)
          : loadAdapter(startedFrom, strategy.saved, weightOptions);
      return { step, startedFrom, endsHere: true, weightsNote };
    }
    case "random":
      initializeParameters(parameters, specs, { slices });
      return { step: 0, startedFrom: undefined };
    default: {
      const { note: weightsNote } = loadWeights(start.path, parameters, weightOptions);
      const { region } = strategy;
      const path = adapter?.initialLoadPath ?? null;
      if (path !== null) loadAdapter(expandHome(path), strategy.saved, weightOptions);
      else if (adapter !== undefined)
        initializeAdapters(strategy.parameters, { blocks, init: adapter.init, slices, region });
      return { step: 0, startedFrom: undefined, weightsNote };
    }
  }
}
