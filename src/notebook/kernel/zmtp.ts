// ZeroMQ's wire protocol, ZMTP 3.0 with the NULL mechanism, over one stream socket: what Jupyter's clients speak. Frames in,
// frames out, and nothing about socket types (see sockets.ts). Own code instead of the `zeromq` package: that one is 13 MB of
// binaries with an install script, and its queues drop messages when they are full; these never do.
// Specification: https://rfc.zeromq.org/spec/23/
import type { Socket } from "node:net";

export type SocketType = "ROUTER" | "DEALER" | "PUB" | "SUB" | "REP" | "REQ";

const flagMore = 0x01;
const flagLong = 0x02;
const flagCommand = 0x04;
const greetingBytes = 64;
/** More than any client sends: a length beyond it is not ZMTP. */
const maxFrameBytes = 2 ** 31;

export interface ZmtpHandlers {
  /** Both sides are ready. `identity` is what the peer calls itself; empty when it doesn't. */
  readonly onReady: (connection: ZmtpConnection, identity: string) => void;
  readonly onMessage: (connection: ZmtpConnection, frames: Buffer[]) => void;
  readonly onClose: (connection: ZmtpConnection) => void;
}

/** One peer. Speaks first, checks that the other side speaks ZMTP 3, then hands on whole messages. */
export class ZmtpConnection {
  readonly #socket: Socket;
  readonly #handlers: ZmtpHandlers;
  #chunks: Buffer[] = [];
  #available = 0;
  #greeted = false;
  #ready = false;
  #frames: Buffer[] = [];
  #waiting: Buffer[] = [];

  constructor(socket: Socket, type: SocketType, handlers: ZmtpHandlers, identity = "") {
    this.#socket = socket;
    this.#handlers = handlers;
    socket.setNoDelay?.(true);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", () => socket.destroy()); // "close" follows, and tells
    socket.on("close", () => handlers.onClose(this));
    socket.write(greeting());
    socket.write(readyCommand(type, identity));
  }

  /** Sends a message; one that is sent before the peer is ready waits. Frames must not be changed afterwards. */
  send(frames: readonly (Buffer | string)[]): void {
    const encoded = encodeMessage(frames);
    if (this.#ready) this.#socket.write(encoded);
    else this.#waiting.push(encoded);
  }

  /** Ends the connection after what was sent has left. */
  close(): Promise<void> {
    return new Promise((done) => {
      if (this.#socket.destroyed) return done();
      this.#socket.once("close", () => done());
      this.#socket.end(() => this.#socket.destroy());
    });
  }

  #receive(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#available += chunk.length;
    try {
      while (this.#next());
    } catch {
      this.#socket.destroy(); // not ZMTP: nothing that could be said to it
    }
  }

  /** Takes one greeting or frame, if it is there as a whole. */
  #next(): boolean {
    if (!this.#greeted) {
      const bytes = this.#peek(greetingBytes);
      if (bytes === undefined) return false;
      if (bytes[0] !== 0xff || bytes[9] !== 0x7f || bytes[10]! < 3) throw new Error("not ZMTP 3");
      if (bytes.toString("latin1", 12, 17) !== "NULL\0") throw new Error("a mechanism other than NULL");
      this.#take(greetingBytes);
      this.#greeted = true;
      return true;
    }
    const flags = this.#peek(1)?.[0];
    if (flags === undefined) return false;
    const long = (flags & flagLong) !== 0;
    const header = this.#peek(long ? 9 : 2);
    if (header === undefined) return false;
    const size = long ? Number(header.readBigUInt64BE(1)) : header[1]!;
    if (size > maxFrameBytes) throw new Error("frame too long");
    if (this.#available < header.length + size) return false;
    this.#take(header.length);
    this.#frame(flags, this.#take(size));
    return true;
  }

  #frame(flags: number, body: Buffer): void {
    if ((flags & flagCommand) !== 0) return this.#command(body);
    if (!this.#ready) throw new Error("a message before READY");
    this.#frames.push(body);
    if ((flags & flagMore) !== 0) return;
    const frames = this.#frames;
    this.#frames = [];
    this.#handlers.onMessage(this, frames);
  }

  #command(body: Buffer): void {
    const name = body.toString("latin1", 1, 1 + body[0]!);
    if (name !== "READY" || this.#ready) return; // ERROR: the peer closes
    this.#ready = true;
    for (const message of this.#waiting.splice(0)) this.#socket.write(message);
    this.#handlers.onReady(this, property(body.subarray(1 + body[0]!), "identity"));
  }

  #peek(bytes: number): Buffer | undefined {
    if (this.#available < bytes) return undefined;
    if (this.#chunks[0]!.length < bytes) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!.subarray(0, bytes);
  }

  #take(bytes: number): Buffer {
    if (bytes === 0) return Buffer.alloc(0);
    const taken = this.#peek(bytes)!;
    this.#available -= bytes;
    const first = this.#chunks[0]!;
    if (first.length === bytes) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(bytes);
    return taken;
  }
}

function greeting(): Buffer {
  const bytes = Buffer.alloc(greetingBytes);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes.write("NULL", 12, "latin1");
  return bytes;
}

function readyCommand(type: SocketType, identity: string): Buffer {
  const body = Buffer.concat([
    shortString("READY"),
    shortString("Socket-Type"),
    longString(type),
    shortString("Identity"),
    longString(identity),
  ]);
  return Buffer.concat([Buffer.from([flagCommand, body.length]), body]);
}

function shortString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

function longString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** A property of READY's metadata; names are compared without case. */
function property(metadata: Buffer, wanted: string): string {
  let at = 0;
  while (at < metadata.length) {
    const name = metadata.toString("latin1", at + 1, at + 1 + metadata[at]!);
    at += 1 + metadata[at]!;
    const size = metadata.readUInt32BE(at);
    if (name.toLowerCase() === wanted) return metadata.toString("latin1", at + 4, at + 4 + size);
    at += 4 + size;
  }
  return "";
}

function encodeMessage(frames: readonly (Buffer | string)[]): Buffer {
  const parts: Buffer[] = [];
  frames.forEach((frame, i) => {
    const body = typeof frame === "string" ? Buffer.from(frame) : frame;
    const more = i < frames.length - 1 ? flagMore : 0;
    if (body.length < 256) {
      parts.push(Buffer.from([more, body.length]));
    } else {
      const header = Buffer.alloc(9);
      header[0] = more | flagLong;
      header.writeBigUInt64BE(BigInt(body.length), 1);
      parts.push(header);
    }
    parts.push(body);
  });
  return Buffer.concat(parts);
}
