// Hands a save whose tensors were copied to the thread that writes it (write-worker.ts), and tells how it went. One at a
// time; it knows nothing of tensors, nor of other ranks.
import { Worker } from "node:worker_threads";

import { requireProgram } from "../../util/index.ts";
import type { BackgroundJob, BackgroundReply, Published, StagedBuffers } from "./job.ts";

/** A job under way. The promises may be awaited late, or never. */
export interface PendingWrite {
  /** This process's files are on the disk. Gives the buffers that may be used again. */
  readonly written: Promise<StagedBuffers>;
  /** The checkpoint is there; only of a job with a publication. */
  readonly published: Promise<Published>;
}

export class BackgroundWriter {
  #worker: Worker | undefined;
  #current:
    | {
        readonly job: BackgroundJob;
        readonly written: PromiseWithResolvers<StagedBuffers>;
        readonly published: PromiseWithResolvers<Published>;
      }
    | undefined;

  /** Begins a job, whose buffers are the thread's from now on. The one before must have ended. */
  begin(job: BackgroundJob): PendingWrite {
    if (this.#current !== undefined) throw new Error("a checkpoint is still being written");
    const written = Promise.withResolvers<StagedBuffers>();
    const published = Promise.withResolvers<Published>();
    // A failure is told when somebody awaits it, at the next save: until then it is not unhandled.
    written.promise.catch(() => undefined);
    published.promise.catch(() => undefined);
    const worker = this.#thread();
    this.#current = { job, written, published };
    worker.ref();
    worker.postMessage(
      job,
      job.job.files.flatMap(({ tensors }) => tensors.map(({ bytes }) => bytes.buffer)),
    );
    return { written: written.promise, published: published.promise };
  }

  /** Ends the thread, whatever it is doing. */
  async stop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#fail(new Error("the thread that writes checkpoints was ended"));
    await worker?.terminate();
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const extension = import.meta.filename.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(requireProgram(new URL(`./write-worker.${extension}`, import.meta.url)));
    const lost = (error: Error): void => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#fail(error);
    };
    worker.on("message", (reply: BackgroundReply) => this.#receive(reply));
    worker.on("error", (error: Error) => lost(error));
    worker.on("exit", (code) => lost(new Error(`the thread that writes checkpoints ended with ${code}`)));
    this.#worker = worker;
    return worker;
  }

  #receive(reply: BackgroundReply): void {
    const current = this.#current;
    if (current === undefined) return;
    if (reply.kind === "failed") {
      this.#fail(Object.assign(new Error(reply.message), { code: reply.code }));
    } else if (reply.kind === "written") {
      current.written.resolve(reply.buffers);
      if (current.job.publication === undefined) this.#end();
    } else {
      current.published.resolve(reply.published);
      this.#end();
    }
  }

  #fail(error: Error): void {
    this.#current?.written.reject(error);
    this.#current?.published.reject(error);
    this.#end();
  }

  /** An idle thread doesn't keep the process alive. */
  #end(): void {
    this.#current = undefined;
    this.#worker?.unref();
  }
}
