// The thread that writes checkpoints: staged bytes to files, synced, then the rename that makes them a checkpoint, then the
// removal of old ones. One job at a time. It never loads libtorch; the other end is background.ts.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort } from "node:worker_threads";
import { crc32 } from "node:zlib";
import { writeModelWeights, writeSafetensors, type TensorToWrite } from "../safetensors/index.ts";
import { messageOf } from "../util/index.ts";
import { copyCompanions } from "./companions.ts";
import { publishStep, purge } from "./step-folder.ts";
import type { Published, StagedTensor, WriteJob, WriteReply } from "./write-job.ts";
import { writeManifest } from "./write-manifest.ts";

type Checksums = Record<string, number>;

const pieceBytes = 16 << 20;
/** Between looks whether the other ranks' files are there. */
const pollMs = 20;

const markOf = (job: WriteJob, writer: number): string => join(job.temporary, `.written-${writer}.json`);

function toWrite(tensors: readonly StagedTensor[], checksums: Checksums): TensorToWrite[] {
  return tensors.map(({ name, dtype, shape, checksum, bytes }) => ({
    name,
    dtype,
    shape,
    *data() {
      let sum = 0;
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        const piece = bytes.subarray(at, at + pieceBytes);
        sum = crc32(piece, sum);
        yield piece;
      }
      checksums[checksum] = sum;
    },
  }));
}

function writeFiles({ temporary, files }: WriteJob): Checksums {
  const checksums: Checksums = {};
  for (const { file, metadata, tensors } of files) {
    const options = metadata === undefined ? {} : { metadata };
    const staged = toWrite(tensors, checksums);
    if (file === null) writeModelWeights(temporary, staged, options);
    else writeSafetensors(join(temporary, file), staged, options);
  }
  return checksums;
}

/** The checksums of all writers, when all have written. */
async function everyonesChecksums(job: WriteJob, own: Checksums): Promise<Checksums> {
  if (job.writers === 1) return own;
  const marks = Array.from({ length: job.writers }, (_, writer) => markOf(job, writer));
  while (!marks.every((mark) => existsSync(mark))) await sleep(pollMs);
  const found = marks.map((mark) => JSON.parse(readFileSync(mark, "utf8")) as Checksums);
  for (const mark of marks) rmSync(mark);
  return Object.assign({}, ...found) as Checksums;
}

function publish(
  { temporary }: WriteJob,
  { folder, manifest, sourceFolder, dtype, keep, spared }: NonNullable<WriteJob["publish"]>,
  checksums: Checksums,
): Published {
  if (sourceFolder !== undefined) copyCompanions(temporary, { sourceFolder }, dtype);
  const { files } = writeManifest(temporary, folder, manifest, checksums);
  const bytes = Object.values(files).reduce((sum, size) => sum + size, 0);
  const path = publishStep(temporary, folder, manifest.step);
  return { path, bytes, purged: purge(folder, keep, spared) };
}

const port = parentPort;
if (port !== null) {
  const send = (reply: WriteReply, transfer: ArrayBuffer[] = []): void => port.postMessage(reply, transfer);
  const run = async (job: WriteJob): Promise<void> => {
    const own = writeFiles(job);
    if (job.writers > 1) {
      const mark = markOf(job, job.writer);
      writeFileSync(`${mark}.partial`, JSON.stringify(own));
      renameSync(`${mark}.partial`, mark);
    }
    const staged = job.files.flatMap(({ tensors }) => tensors);
    const buffers = staged.map(({ checksum, bytes }) => [checksum, bytes] as const);
    send(
      { kind: "written", buffers },
      buffers.map(([, bytes]) => bytes.buffer),
    );
    if (job.publish === undefined) return;
    const published = publish(job, job.publish, await everyonesChecksums(job, own));
    send({ kind: "published", published });
  };
  port.on("message", (job: WriteJob) => {
    run(job).catch((error: unknown) => {
      send({ kind: "failed", message: messageOf(error), code: codeOf(error) });
    });
  });
}

function codeOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as NodeJS.ErrnoException;
    if (code !== undefined) return code;
  }
  return undefined;
}
