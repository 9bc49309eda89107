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
    return own.kind === "resume" ? { kind: own.kind, note: own.note, path: own.checkpoint.path } : { ...own };
  });
  if (own !== undefined) return own;
  return told.kind === "resume"
    ? { kind: told.kind, note: told.note, checkpoint: new StepCheckpoint(told.path) }
    : told;
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
  switch (start.kind) {
    case "resume": {
      const { checkpoint } = start;
      const { step } = checkpointer.resume(checkpoint, {
        model: strategy.saved,
        optimizer,
        slices,
        saved: savedShapes(modelConfig).keys(),
      });
      return { step, startedFrom: step === checkpoint.step ? checkpoint.path : undefined };
    }
    case "random":
      initializeParameters(parameters, specs, { slices });
      return { step: 0, startedFrom: undefined };
    default:
      loadWeights(start.path, parameters, {
        tied: tiedNames(blocks),
        slices,
        elsewhere: new Set(specs.keys()),
      });
      return start.kind === "finished"
        ? { step: start.step, startedFrom: start.path }
        : { step: 0, startedFrom: undefined };
  }
}
