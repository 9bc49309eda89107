// The server thread's client of the language thread. Starts the thread at the first request (the server's own, when it is
// idle), and sends it all executed cells.
import { Worker } from "node:worker_threads";

import type { Completions, Inspection } from "./language-service.ts";
import { languageProgram } from "../programs.ts";

export type LanguageRequest =
  | { readonly type: "cell"; readonly code: string }
  | {
      readonly type: "complete" | "inspect";
      readonly id: number;
      readonly code: string;
      readonly position: number;
    };

export interface LanguageReply {
  readonly id: number;
  readonly result: Completions | Inspection | undefined;
}

/** TypeScript needs some 300 MB; more than this is a fault, of which the kernel must not die. */
const maxMemoryMb = 2000;

export class LanguageThread {
  readonly #folder: string;
  readonly #cells: string[] = [];
  readonly #pending = new Map<number, (found: LanguageReply["result"]) => void>();
  #worker: Worker | undefined;
  #requests = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  add(code: string): void {
    this.#cells.push(code);
    if (this.#worker) this.#send({ type: "cell", code });
  }

  async complete(code: string, position: number): Promise<Completions | undefined> {
    return (await this.#request("complete", code, position)) as Completions | undefined;
  }

  async inspect(code: string, position: number): Promise<Inspection | undefined> {
    return (await this.#request("inspect", code, position)) as Inspection | undefined;
  }

  #request(type: "complete" | "inspect", code: string, position: number): Promise<LanguageReply["result"]> {
    if (this.#worker === undefined) this.#start();
    const id = ++this.#requests;
    return new Promise((done) => {
      this.#pending.set(id, done);
      this.#send({ type, id, code, position });
    });
  }

  #start(): void {
    this.#worker = new Worker(languageProgram, {
      workerData: this.#folder,
      resourceLimits: { maxOldGenerationSizeMb: maxMemoryMb },
    });
    this.#worker.on("message", ({ id, result: found }: LanguageReply) => {
      this.#pending.get(id)?.(found);
      this.#pending.delete(id);
    });
    // Cells run without it too, and completion still knows the values in memory.
    this.#worker.on("error", () => {
      for (const done of this.#pending.values()) done(undefined);
      this.#pending.clear();
      this.#worker = undefined;
      this.#cells.length = 0; // what they declare may be why it ended
    });
    for (const code of this.#cells) this.#send({ type: "cell", code });
  }

  #send(request: LanguageRequest): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker!.postMessage(request);
  }
}
