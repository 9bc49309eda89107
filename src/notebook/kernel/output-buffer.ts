// Buffers what cells print, so that ten thousand lines aren't ten thousand messages: per cell and stream, in order, for at most
// one turn of the event loop. Runs on the server thread, whose event loop turns while a cell is busy.

export type StreamName = "stdout" | "stderr";

const maxTextLength = 262_144;

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
    if (this.#text.length > maxTextLength) return this.flush();
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      // The other half of a character may come with the next write.
      const half = /[\uD800-\uDBFF]$/.test(this.#text) ? this.#text.slice(-1) : "";
      if (half !== "") this.#text = this.#text.slice(0, -1);
      this.flush();
      this.#text = half;
    });
  }

  /** Sends everything that is buffered. */
  flush(): void {
    if (this.#text === "") return;
    const text = this.#text;
    this.#text = "";
    this.#send(this.#job, this.#name, text);
  }
}
