// process.stdout and process.stderr of a kernel: writes go to a function, synchronously.
import { Writable } from "node:stream";

import { streamText } from "./output-content.ts";

export class OutputStream extends Writable {
  readonly #write: (text: string) => void;
  readonly fd: number;

  constructor(fd: number, write: (text: string) => void) {
    super({ decodeStrings: false });
    this.fd = fd;
    this.#write = write;
  }

  override _write(chunk: string | Uint8Array, encoding: BufferEncoding, done: () => void): void {
    const plain = typeof chunk === "string" && !["base64", "base64url", "hex"].includes(encoding);
    this.#write(streamText(typeof chunk === "string" && !plain ? Buffer.from(chunk, encoding) : chunk));
    done();
  }
}
