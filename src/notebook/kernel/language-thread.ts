// The server's hold on the language thread: starts it at the first question (the server's own, when it is idle), and tells it the cells that were run.
import { Worker } from "node:worker_threads";

import type { Completions, Inspection } from "./language-service.ts";
import { languageProgram } from "./programs.ts";

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
  readonly found: Completions | Inspection | undefined;
}

export class LanguageThread {
  readonly #folder: string;
  readonly #cells: string[] = [];
  readonly #waiting = new Map<number, (found: LanguageReply["found"]) => void>();
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
    return (await this.#ask("complete", code, position)) as Completions | undefined;
  }

  async inspect(code: string, position: number): Promise<Inspection | undefined> {
    return (await this.#ask("inspect", code, position)) as Inspection | undefined;
  }

  #ask(type: "complete" | "inspect", code: string, position: number): Promise<LanguageReply["found"]> {
    if (this.#worker === undefined) this.#start();
    const id = ++this.#requests;
    return new Promise((done) => {
      this.#waiting.set(id, done);
      this.#send({ type, id, code, position });
    });
  }

  #start(): void {
    this.#worker = new Worker(languageProgram, { workerData: this.#folder });
    this.#worker.on("message", ({ id, found }: LanguageReply) => {
      this.#waiting.get(id)?.(found);
      this.#waiting.delete(id);
    });
    // Without it cells run all the same, and names are completed from what is in memory.
    this.#worker.on("error", () => {
      for (const done of this.#waiting.values()) done(undefined);
      this.#waiting.clear();
      this.#worker = undefined;
    });
    for (const code of this.#cells) this.#send({ type: "cell", code });
  }

  #send(request: LanguageRequest): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker!.postMessage(request);
  }
}
