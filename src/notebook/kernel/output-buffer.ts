// Gathers what cells print, so that ten thousand lines are not ten thousand messages: by cell and stream, in order, no longer
// than a turn of the event loop. It lives on the server thread, which turns while a cell is busy.

export type StreamName = "stdout" | "stderr";

const longestText = 262_144;

export class OutputBuffer {
  readonly #send: (job: number, name: StreamName, text: string) => void;
  #job = 0;
  #name: StreamName = "stdout";
  #text = "";
  #scheduled = false;

  constructor(send: (job: number, name: StreamName, text: string) => void) {
    this.#send = send;
  }

  write(job: number, name: StreamName, text: string): void {
    if (job !== this.#job || name !== this.#name) this.flush();
    this.#job = job;
    this.#name = name;
    this.#text += text;
    if (this.#text.length > longestText) return this.flush();
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Hands on everything that was written so far. */
  flush(): void {
    if (this.#text === "") return;
    const text = this.#text;
    this.#text = "";
    this.#send(this.#job, this.#name, text);
  }
}
