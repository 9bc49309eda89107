// How many steps `training.epochs` come to. Steps are what a run is counted in, saved at and scheduled by; how many make an epoch
// is only known once its rows are tokenized and packed.
import { isAbsolute, resolve } from "node:path";

import { findLatest } from "../../checkpoint/index.ts";
import type { Config, RunSpec } from "../../config/index.ts";
import type { DataLoader } from "../../data/index.ts";
import type { Ranks } from "../../parallel/index.ts";
import { UserError } from "../../util/index.ts";
import type { SavedRun } from "./saved-run.ts";

const secondsBetweenNotes = 10;

/**
 * The steps of a run whose last checkpoint shows that its epochs are done: then nothing needs to be counted, nor its folder opened.
 * Undefined of any other run.
 */
export function knownSteps({ spec, training }: Config): number | undefined {
  const { checkpoint, job } = spec;
  const { enable, folder, loadStep } = checkpoint;
  const hasFolder = job.name !== null || isAbsolute(folder);
  if (training.epochs === null || !enable || loadStep >= 0 || !hasFolder) return undefined;
  const latest = findLatest(resolve(job.dumpFolder, job.name ?? "", folder));
  const saved = latest?.manifest.run as unknown as SavedRun | undefined;
  const epochs = saved?.config["training.epochs"];
  const isDone =
    typeof epochs === "number" && epochs >= training.epochs && latest!.step >= (saved?.steps ?? Infinity);
  return isDone ? latest!.step : undefined;
}

/**
 * Steps of the whole run: those that are `done`, and those that the loader has rows for from where it stands. Reads and tokenizes
 * the rows. Every rank calls it.
 * @throws UserError for a bad row, as training would
 */
export async function countSteps(
  loader: DataLoader,
  { accumulationSteps, data: { epochs } }: RunSpec,
  done: number,
  ranks: Ranks,
  note: (text: string) => void,
): Promise<number> {
  let told = performance.now();
  const own = await ranks.runOnAll(() =>
    loader.countBatches((share) => {
      if (performance.now() - told < secondsBetweenNotes * 1000) return;
      told = performance.now();
      note(
        `training.epochs: counting the steps of ${epochs} epochs, ${Math.floor(100 * share)} % of the rows`,
      );
    }),
  );
  // A rank that has fewer goes on into the next epoch.
  const batches = Math.max(...(await ranks.gather(own)));
  // Where the first rows have nothing to train, the first step says so.
  return Math.max(1, done + Math.ceil(batches / accumulationSteps));
}

/**
 * What is said where a checkpoint has no row left to train.
 * @throws UserError where it is not the run's own: then there is nothing that the run could be for
 */
export function tellDone(path: string, step: number, epochs: number, isOwn: boolean): string {
  const text = `${path} is trained for ${step} steps already, which are all of training.epochs (${epochs})`;
  if (isOwn)
    return `${text}; raise training.epochs to go on, or choose another checkpoint.folder to begin anew`;
  throw new UserError(`checkpoint.initial_load_path: ${text}; raise training.epochs to go on from it`, {
    exitCode: 2,
  });
}
