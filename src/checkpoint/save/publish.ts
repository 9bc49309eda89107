// Makes the files that all ranks have written a checkpoint: the companions that make it a model folder, the manifest, the
// rename, the removal of old ones. Knows nothing of tensors, so that a thread without libtorch can use it.
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { writeIndex } from "../../safetensors/index.ts";
import { copyCompanions } from "../hf/companions.ts";
import { manifestName, manifestText, type Manifest } from "../step/manifest.ts";
import { listCheckpoints, publishStep, purge } from "../step/step-folder.ts";
import type { Publication, Published } from "./job.ts";
import { checksumsFile, type Checksums } from "./write.ts";

/** Between looks whether the other ranks' files are there. */
const pollMs = 20;

/** Waits until every rank has written. */
export async function publish(publication: Publication): Promise<Published> {
  const { folder, temporary, index, sourceFolder, chatTemplate, dtype, manifest, keep, spared, isExport } =
    publication;
  const checksums = await collectChecksums(publication);
  if (index !== undefined) writeIndex(temporary, index);
  if (sourceFolder !== undefined) copyCompanions(temporary, { sourceFolder, chatTemplate }, dtype);
  const { files } = writeManifest(publication, checksums);
  const bytes = Object.values(files).reduce((sum, size) => sum + size, 0);
  const path = publishStep(temporary, folder, manifest.step, isExport);
  return { path, bytes, purged: purge(folder, keep, spared) };
}

async function collectChecksums({ temporary, writers }: Publication): Promise<Checksums> {
  const marks = Array.from({ length: writers }, (_, writer) => checksumsFile(temporary, writer));
  while (!marks.every((mark) => existsSync(mark))) await sleep(pollMs);
  const found = marks.map((mark) => JSON.parse(readFileSync(mark, "utf8")) as Checksums);
  for (const mark of marks) rmSync(mark);
  return Object.assign({}, ...found) as Checksums;
}

/** state.json, the last of all files. */
function writeManifest({ folder, temporary, manifest }: Publication, checksums: Checksums): Manifest {
  const entries = readdirSync(temporary, { withFileTypes: true });
  const names = entries.flatMap((entry) => (entry.isFile() ? [entry.name] : [])).sort();
  const { kind, step, config_digest, run, parameters, random, parts } = manifest;
  const whole: Manifest = {
    kind,
    step,
    sequence: Math.max(0, ...listCheckpoints(folder).complete.map((one) => one.manifest.sequence)) + 1,
    saved_at: new Date().toISOString(),
    config_digest,
    run,
    parameters,
    files: Object.fromEntries(names.map((name) => [name, statSync(join(temporary, name)).size])),
    checksums,
    random,
    parts,
  };
  writeFileSync(join(temporary, manifestName), manifestText(whole));
  return whole;
}
