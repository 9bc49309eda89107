// Makes the files that all ranks have written a checkpoint: the companions that make it a model folder, the manifest, the
// rename, the removal of old ones. Knows nothing of tensors, so that a thread without libtorch can use it.
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { writeIndex } from "../../safetensors/index.ts";
import { ChunkSums, joinChunkSums } from "../../util/index.ts";
import { adapterConfigName } from "../hf/adapter-files.ts";
import { carryOver } from "../hf/carried.ts";
import { copyCompanions } from "../hf/companions.ts";
import { manifestName, manifestText, type Manifest } from "../step/manifest.ts";
import { listCheckpoints, publishStep, purge } from "../step/step-folder.ts";
import type { Publication, Published } from "./job.ts";
import { checksumsFile, type WrittenSums } from "./write.ts";

/** Between looks whether the other ranks' files are there. */
const pollMs = 20;

/** Waits until every rank has written. */
export async function publish(publication: Publication): Promise<Published> {
  const { folder, temporary, index, sourceFolder, chatTemplate, dtype, manifest, keep, spared } = publication;
  const { isExport, isPeft, adapterConfig, ownPrefixes } = publication;
  const written = await collectSums(publication);
  if (index !== undefined) writeIndex(temporary, index);
  if (sourceFolder !== undefined)
    copyCompanions(temporary, { sourceFolder, chatTemplate, isModel: !isPeft }, dtype);
  if (adapterConfig !== undefined) writeFileSync(join(temporary, adapterConfigName), adapterConfig);
  const renamed =
    ownPrefixes !== undefined && sourceFolder !== undefined
      ? carryOver(temporary, sourceFolder, ownPrefixes)
      : new Map<string, string>();
  const { files } = writeManifest(publication, written, renamed);
  const bytes = Object.values(files).reduce((sum, size) => sum + size, 0);
  const path = publishStep(temporary, folder, manifest.step, isExport);
  return { path, bytes, purged: purge(folder, keep, spared) };
}

/** The checksums of all writers. */
async function collectSums({ temporary, writers }: Publication): Promise<readonly WrittenSums[]> {
  const marks = Array.from({ length: writers }, (_, writer) => checksumsFile(temporary, writer));
  while (!marks.every((mark) => existsSync(mark))) await sleep(pollMs);
  const found = marks.map((mark) => JSON.parse(readFileSync(mark, "utf8")) as WrittenSums);
  for (const mark of marks) rmSync(mark);
  return found;
}

/** Of a file's chunks. What was copied is read. */
function sumsOf(path: string, name: string, bytes: number, written: readonly WrittenSums[]): Uint32Array {
  const parts = written.map(({ files }) => files[name]).filter((one) => one !== undefined);
  return parts.length > 0 ? joinChunkSums(parts, bytes) : sumsOfFile(path, bytes);
}

function sumsOfFile(path: string, bytes: number): Uint32Array {
  const sums = new ChunkSums(bytes);
  const fd = openSync(path, "r");
  try {
    const piece = new Uint8Array(Math.min(bytes, 16 << 20));
    for (let at = 0; at < bytes;) {
      const read = readSync(fd, piece, 0, piece.length, at);
      if (read === 0) break;
      sums.add(piece.subarray(0, read), at);
      at += read;
    }
  } finally {
    closeSync(fd);
  }
  return joinChunkSums([sums.parts], bytes);
}

/** state.json, the last of all files. */
function writeManifest(
  { folder, temporary, manifest }: Publication,
  written: readonly WrittenSums[],
  renamed: ReadonlyMap<string, string>,
): Manifest {
  const entries = readdirSync(temporary, { withFileTypes: true, recursive: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return { path, name: relative(temporary, path).replaceAll("\\", "/"), bytes: statSync(path).size };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const sums = files.map(
    ({ path, name, bytes }) => [name, sumsOf(path, renamed.get(name) ?? name, bytes, written)] as const,
  );
  const { kind, step, config_digest, run, parameters, random, parts } = manifest;
  const whole: Manifest = {
    kind,
    step,
    sequence: Math.max(0, ...listCheckpoints(folder).complete.map((one) => one.manifest.sequence)) + 1,
    saved_at: new Date().toISOString(),
    config_digest,
    run,
    parameters,
    files: Object.fromEntries(files.map(({ name, bytes }) => [name, bytes])),
    sums: Object.fromEntries(sums),
    checksums: Object.assign({}, ...written.map(({ tensors }) => tensors)) as Manifest["checksums"],
    random,
    parts,
  };
  writeFileSync(join(temporary, manifestName), manifestText(whole));
  return whole;
}
