// A file of the hub that is read from there and never stored: from its beginning on, or a range of it. A connection that breaks is
// opened again where it ended.
import { messageOf, UserError } from "../util/index.ts";
import { fileUrl, type RepoFile } from "./api.ts";
import type { Repo } from "./cache.ts";
import { HubUnreachableError, pause, request, type HubClient } from "./network.ts";
import { BrokenTransfer, bodyChunks, continuesAt, maxFailures } from "./transfer.ts";

/** The hub has listed the file, so that it can be reached; a connection that is refused may be taken a moment later. */
const isTransient = (error: unknown): boolean =>
  error instanceof BrokenTransfer || error instanceof HubUnreachableError;

export class RemoteFile {
  /** As messages call it: `org/name/en/rows.jsonl`. */
  readonly name: string;
  readonly size: number;
  /** Its hash: other content has another one. */
  readonly etag: string;
  readonly #client: HubClient;
  readonly #repo: Repo;
  readonly #commit: string;
  readonly #path: string;

  constructor(client: HubClient, repo: Repo, commit: string, { path, size, etag }: RepoFile) {
    this.name = `${repo.name}/${path}`;
    this.size = size;
    this.etag = etag;
    this.#client = client;
    this.#repo = repo;
    this.#commit = commit;
    this.#path = path;
  }

  /**
   * All bytes from the first on. Ending the loop early ends the connection.
   * @throws UserError where several attempts in a row bring nothing more
   */
  async *chunks(): AsyncGenerator<Uint8Array> {
    let position = 0;
    for (let failures = 0; position < this.size;) {
      try {
        const response = await this.#request(position > 0 ? `bytes=${position}-` : undefined);
        // A server that knows no ranges sends all of it again.
        let skip = position > 0 && !continuesAt(response, position) ? position : 0;
        for await (const chunk of bodyChunks(this.#client, response)) {
          const fresh = chunk.subarray(Math.min(skip, chunk.length));
          skip -= chunk.length - fresh.length;
          if (fresh.length === 0) continue;
          position += fresh.length;
          failures = 0;
          if (position > this.size)
            throw this.#error(`it is longer than the ${this.size} bytes that the hub announced`);
          // A Buffer, as files give; declared as what projects without Node.js types know.
          yield Buffer.from(fresh.buffer, fresh.byteOffset, fresh.length);
        }
        if (position < this.size)
          throw new BrokenTransfer(`it ended after ${position} of ${this.size} bytes`);
      } catch (error) {
        if (!isTransient(error)) throw error;
        if (++failures >= maxFailures && position === 0 && error instanceof HubUnreachableError) throw error;
        if (failures >= maxFailures)
          throw this.#error(
            `its transfer broke off (${messageOf(error)}) and ${maxFailures} attempts brought nothing more`,
          );
        await pause(100 * 2 ** failures, undefined);
      }
    }
  }

  /** Bytes `start` (inclusive) to `end` (exclusive). */
  async read(start: number, end: number): Promise<ArrayBuffer> {
    for (let attempt = 1; ; attempt++) {
      const bytes = new Uint8Array(end - start);
      let done = 0;
      try {
        const response = await this.#request(`bytes=${start}-${end - 1}`);
        if (!continuesAt(response, start)) {
          await response.body?.cancel();
          throw this.#error(
            "its server sends no parts of files, so it can't be streamed; set training.stream: false",
          );
        }
        for await (const chunk of bodyChunks(this.#client, response)) {
          bytes.set(chunk.subarray(0, bytes.length - done), done);
          done += chunk.length;
          if (done >= bytes.length) break; // a server may send more than it was asked for
        }
        if (done >= bytes.length) return bytes.buffer;
        throw new BrokenTransfer(`it ended after ${done} of ${bytes.length} bytes`);
      } catch (error) {
        if (!isTransient(error) || attempt === maxFailures) throw error;
        await pause(100 * 2 ** attempt, undefined);
      }
    }
  }

  async #request(range: string | undefined): Promise<Response> {
    const url = fileUrl(this.#client, this.#repo, this.#commit, this.#path);
    const subject = { repo: this.#repo, revision: this.#commit, file: this.#path };
    return await request(this.#client, url, subject, range === undefined ? {} : { range });
  }

  #error(what: string): UserError {
    return new UserError(
      `${this.#repo.name}: ${this.#path}: ${what}. Start again to go on from the last checkpoint.`,
    );
  }
}
