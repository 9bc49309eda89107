// Saves one checkpoint. All ranks call it. They write into a folder beside the final one, which rank 0 renames when all of it
// is on the disk; a failure of any rank leaves the earlier checkpoints as they were.
import { rmSync } from "node:fs";
import { Ranks } from "../../parallel/index.ts";
import { piecesOf } from "../hf/pieces.ts";
import { explainDiskFault } from "../step/disk-faults.ts";
import { captureRandom, devicesOf } from "../step/random.ts";
import { beginStep } from "../step/step-folder.ts";
import type { ManifestContents, Publication, Published, WriteJob } from "./job.ts";
import {
  firstDtype,
  isPeft,
  planFiles,
  type CheckpointContents,
  type PlannedTensor,
  type PlanOptions,
} from "./plan.ts";
import { publish } from "./publish.ts";
import { createSharedFiles, writeFiles } from "./write.ts";

export interface StepSaveOptions extends PlanOptions {
  /** A model folder, whose config and tokenizer files make the step folder one that Transformers loads. */
  readonly sourceFolder?: string | undefined;
  /** The model alone, in `step-N-hf` beside the checkpoint of its step. */
  readonly isExport?: boolean | undefined;
  /** In place of its chat template. */
  readonly chatTemplate?: string | undefined;
  /** Default: one process. */
  readonly ranks?: Ranks | undefined;
  /** What resumes the run, for an error's advice; see explainDiskFault. */
  readonly again?: string | undefined;
  /** How many checkpoints stay, 0 (default): all; and which of the others do, by path. */
  readonly keep?: number | undefined;
  readonly spared?: readonly string[] | undefined;
}

/** A save that is ready to be written: by this thread or, with copied tensors, by another. */
export interface PreparedSave {
  readonly temporary: string;
  readonly writers: number;
  /** Undefined on a rank that writes nothing. */
  readonly job: WriteJob<PlannedTensor> | undefined;
  /** Of rank 0. */
  readonly publication: Publication | undefined;
}

/**
 * Writes `folder`/step-N. Resolves on every rank when it is durable.
 * @throws UserError on every rank when one of them can't write; what was begun is removed, earlier checkpoints are intact
 */
export async function saveStep(
  folder: string,
  contents: CheckpointContents,
  options: StepSaveOptions = {},
): Promise<Published> {
  const { ranks = Ranks.one } = options;
  let prepared: PreparedSave | undefined;
  try {
    const { job, publication } = (prepared = await prepareSave(folder, contents, options));
    await ranks.runOnAll(() => {
      if (job !== undefined) writeFiles(job, ({ tensor, storedAs }) => piecesOf(tensor, storedAs));
    });
    return await ranks.fromRank0(() => publish(publication!));
  } catch (error) {
    if (prepared !== undefined && ranks.isFirst) removeBegun(prepared);
    throw explainDiskFault(error, folder, contents.step, options);
  }
}

/** Plans what each rank writes, and makes the folder to write into. */
export async function prepareSave(
  folder: string,
  contents: CheckpointContents,
  options: StepSaveOptions,
): Promise<PreparedSave> {
  const { ranks = Ranks.one, ownership, dtype, sourceFolder, chatTemplate, keep = 0, spared = [] } = options;
  const { isExport = false } = options;
  const { files, index, writer, writers } = await ranks.runOnAll(() => planFiles(contents, options));
  const temporary = await ranks.fromRank0(() => {
    const begun = beginStep(folder, contents.step, isExport);
    try {
      createSharedFiles(begun, files);
    } catch (error) {
      removeBegun({ temporary: begun });
      throw error;
    }
    return begun;
  });
  const writes = writers > 1 ? ownership!.replica === 0 : ranks.isFirst;
  return {
    temporary,
    writers,
    job: writes ? { temporary, files, writer } : undefined,
    publication: ranks.isFirst
      ? {
          folder,
          temporary,
          writers,
          manifest: manifestContents(contents),
          index,
          sourceFolder,
          isExport,
          chatTemplate,
          dtype: (dtype ?? firstDtype(contents))?.name,
          adapterConfig: contents.adapterConfig,
          isPeft: isPeft(contents),
          ownPrefixes:
            contents.optimizer === undefined && !isPeft(contents) ? contents.ownPrefixes : undefined,
          keep,
          spared,
        }
      : undefined,
  };
}

export function removeBegun({ temporary }: Pick<PreparedSave, "temporary">): void {
  rmSync(temporary, { recursive: true, force: true });
}

function manifestContents(contents: CheckpointContents): ManifestContents {
  const { model, saved } = contents;
  return {
    kind: contents.optimizer ? "full" : "model",
    step: contents.step,
    config_digest: contents.configDigest ?? "",
    run: contents.run,
    parameters: contents.isPartial ? [...(saved ?? model).keys()] : undefined,
    random: contents.random ?? captureRandom(devicesOf(model.values())),
    parts: contents.parts ?? {},
  };
}
