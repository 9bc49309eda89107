// Brings one file over, into a partial file beside its place: continues what an earlier run left, tries again when the
// connection breaks, and hands over only bytes whose hash is the one that the hub promised.
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
  type Subject,
} from "./network.ts";

export interface Transfer {
  readonly client: HubClient;
  readonly url: string;
  readonly about: Subject;
  readonly file: RepoFile;
  /** Where the bytes are gathered. Left there when the transfer fails, so that it can go on. */
  readonly partial: string;
  /** Told how many bytes are there; may go back when a transfer starts over. */
  readonly onBytes: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A connection that broke: worth another attempt. */
class BrokenTransfer extends Error {}

/** Attempts in a row that bring no byte at all. */
const fruitless = 5;

/** @throws UserError when the file can't be had, the disk is full, or its hash is wrong. */
export async function transfer(job: Transfer): Promise<void> {
  let startedOver = false;
  for (;;) {
    await gather(job);
    const resumed = await isIntact(job);
    if (resumed) return;
    await rm(job.partial, { force: true });
    if (startedOver) {
      throw new UserError(
        `${job.about.repo.name}: ${job.file.path} arrived damaged twice (its ${job.file.hash.kind} hash is not ${job.file.hash.digest}). Try again later.`,
      );
    }
    startedOver = true; // what an earlier run left may have been bad; once more from the beginning
  }
}

async function gather(job: Transfer): Promise<void> {
  for (let failures = 0; ;) {
    const before = await sizeOf(job.partial);
    try {
      await continueFrom(job, before);
      return;
    } catch (error) {
      job.signal?.throwIfAborted();
      const lostNetwork = error instanceof HubUnreachableError && before > 0;
      if (!(error instanceof BrokenTransfer) && !lostNetwork) throw diskError(job, error);
      failures = (await sizeOf(job.partial)) > before ? 0 : failures + 1;
      if (failures >= fruitless) {
        throw new UserError(
          `${job.about.repo.name}: the download of ${job.file.path} broke off (${messageOf(error)}) and ${fruitless} attempts brought nothing more. ` +
            "Run the same command again to go on from there.",
          { cause: error },
        );
      }
      await pause(100 * 2 ** failures, job.signal);
    }
  }
}

async function continueFrom(job: Transfer, have: number): Promise<void> {
  const { size } = job.file;
  let start = have;
  if (start > size) {
    await rm(job.partial, { force: true });
    start = 0;
  }
  job.onBytes(start);
  if (start === size && existsSync(job.partial)) return;
  const headers: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
  const response = await request(job.client, job.url, job.about, headers, job.signal);
  if (start > 0 && !continuesAt(response, start)) start = 0; // the server sends all of it
  const file = await open(job.partial, start > 0 ? "r+" : "w").catch(async (error: unknown) => {
    await response.body?.cancel(); // its connection would stay open
    throw error;
  });
  try {
    let position = start;
    job.onBytes(position);
    for await (const chunk of chunksOf(job, response)) {
      if (position + chunk.length > size) {
        throw new UserError(
          `${job.about.repo.name}: ${job.file.path} is longer than the ${size} bytes that the hub announced`,
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

function continuesAt(response: Response, start: number): boolean {
  if (response.status !== 206) return false;
  return response.headers.get("Content-Range")?.startsWith(`bytes ${start}-`) ?? false;
}

/** The body's pieces; a stream that stands still or breaks ends in BrokenTransfer. */
async function* chunksOf(job: Transfer, response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { promise: stalled, resolve: stall } = Promise.withResolvers<"stalled">();
      const timer = setTimeout(() => stall("stalled"), job.client.stallMs);
      let next: Awaited<ReturnType<typeof reader.read>> | "stalled";
      try {
        next = await Promise.race([reader.read(), stalled]);
      } catch (error) {
        throw new BrokenTransfer(networkReason(error), { cause: error });
      } finally {
        clearTimeout(timer);
      }
      if (next === "stalled") throw new BrokenTransfer(`nothing came for ${job.client.stallMs / 1000} s`);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** True when the partial file has the hash that the hub promised. Reads it once, from the disk. */
async function isIntact(job: Transfer): Promise<boolean> {
  return await hasHash(job.partial, job.file);
}

/** True when a local file is that file of the repository. */
export async function hasHash(path: string, file: RepoFile): Promise<boolean> {
  if ((await sizeOf(path)) !== file.size) return false;
  const { kind, digest } = file.hash;
  const hash: Hash = createHash(digest.length === 40 ? "sha1" : "sha256");
  if (kind === "git") hash.update(`blob ${file.size}\0`); // git hashes a file with this before it
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
