// Downloads one file into a partial file: resumes an earlier download, retries when the connection breaks, and accepts only bytes
// with the hash that the hub announced.
import { createHash, type Hash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { messageOf, UserError } from "../util/index.ts";
import type { RepoFile } from "./api.ts";
import {
  HubUnreachableError,
  networkReason,
  pause,
  request,
  type HubClient,
  type RequestSubject,
} from "./network.ts";

export interface Transfer {
  readonly client: HubClient;
  readonly url: string;
  readonly subject: RequestSubject;
  readonly file: RepoFile;
  /** The partial file. Kept if the download fails, so that it can be resumed. */
  readonly partial: string;
  /** Called with the number of bytes so far, which drops if the download starts over. */
  readonly onBytes: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A broken connection, which is retried. */
export class BrokenTransfer extends Error {}

/** Consecutive attempts that deliver no byte before giving up. */
export const maxFailures = 5;

/** @throws UserError if the file can't be downloaded, the disk is full, or the hash is wrong */
export async function transfer(job: Transfer): Promise<void> {
  let startedOver = false;
  for (;;) {
    await downloadWithRetries(job);
    const resumed = await isIntact(job);
    if (resumed) return;
    await rm(job.partial, { force: true });
    if (startedOver) {
      throw new UserError(
        `${job.subject.repo.name}: ${job.file.path} arrived damaged twice (its ${job.file.hash.kind} hash is not ${job.file.hash.digest}). Try again later.`,
      );
    }
    startedOver = true; // the partial file of an earlier run may have been damaged
  }
}

async function downloadWithRetries(job: Transfer): Promise<void> {
  for (let failures = 0; ;) {
    const before = await sizeOf(job.partial);
    try {
      await downloadFrom(job, before);
      return;
    } catch (error) {
      job.signal?.throwIfAborted();
      const lostNetwork = error instanceof HubUnreachableError && before > 0;
      if (!(error instanceof BrokenTransfer) && !lostNetwork) throw diskError(job, error);
      failures = (await sizeOf(job.partial)) > before ? 0 : failures + 1;
      if (failures >= maxFailures) {
        throw new UserError(
          `${job.subject.repo.name}: the download of ${job.file.path} broke off (${messageOf(error)}) and ${maxFailures} attempts brought nothing more. ` +
            "Run the same command again to go on from there.",
          { cause: error },
        );
      }
      await pause(100 * 2 ** failures, job.signal);
    }
  }
}

async function downloadFrom(job: Transfer, partialBytes: number): Promise<void> {
  const { size } = job.file;
  let start = partialBytes;
  if (start > size) {
    await rm(job.partial, { force: true });
    start = 0;
  }
  job.onBytes(start);
  if (start === size && existsSync(job.partial)) return;
  const headers: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
  const response = await request(job.client, job.url, job.subject, headers, job.signal);
  if (start > 0 && !continuesAt(response, start)) start = 0; // the server ignores ranges and sends the whole file
  const file = await open(job.partial, start > 0 ? "r+" : "w").catch(async (error: unknown) => {
    await response.body?.cancel(); // or the connection would stay open
    throw error;
  });
  try {
    let position = start;
    job.onBytes(position);
    for await (const chunk of bodyChunks(job.client, response)) {
      if (position + chunk.length > size) {
        throw new UserError(
          `${job.subject.repo.name}: ${job.file.path} is longer than the ${size} bytes that the hub announced`,
        );
      }
      await file.write(chunk, 0, chunk.length, position);
      position += chunk.length;
      job.onBytes(position);
    }
    if (position < size) throw new BrokenTransfer(`it ended after ${position} of ${size} bytes`);
    await file.sync();
  } finally {
    await file.close();
  }
}

export function continuesAt(response: Response, start: number): boolean {
  if (response.status !== 206) return false;
  return response.headers.get("Content-Range")?.startsWith(`bytes ${start}-`) ?? false;
}

/** The body's chunks. @throws BrokenTransfer if the stream stalls or breaks */
export async function* bodyChunks({ stallMs }: HubClient, response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { promise: stalled, resolve: stall } = Promise.withResolvers<"stalled">();
      const timer = setTimeout(() => stall("stalled"), stallMs);
      let next: Awaited<ReturnType<typeof reader.read>> | "stalled";
      try {
        next = await Promise.race([reader.read(), stalled]);
      } catch (error) {
        throw new BrokenTransfer(networkReason(error), { cause: error });
      } finally {
        clearTimeout(timer);
      }
      if (next === "stalled") throw new BrokenTransfer(`nothing came for ${stallMs / 1000} s`);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Whether the partial file has the announced hash. */
async function isIntact(job: Transfer): Promise<boolean> {
  return await hasHash(job.partial, job.file);
}

/** Whether a local file has the size and hash of a repository's file. */
export async function hasHash(path: string, file: RepoFile): Promise<boolean> {
  if ((await sizeOf(path)) !== file.size) return false;
  const { kind, digest } = file.hash;
  const hash: Hash = createHash(digest.length === 40 ? "sha1" : "sha256");
  if (kind === "git") hash.update(`blob ${file.size}\0`); // git hashes a file with this prefix
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex") === digest;
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}

function diskError(job: Transfer, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return new UserError(
    `No space left on the disk for ${job.file.path} (${job.file.size} bytes) in ${job.partial}. Free some, then run the same command again to go on from there.`,
    { cause: error },
  );
}
