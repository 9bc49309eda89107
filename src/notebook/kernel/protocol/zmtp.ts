// ZeroMQ's wire protocol, which Jupyter's clients use: ZMTP 3.0 with the NULL mechanism, over one stream socket. Only frames;
// socket types are in sockets.ts. Replaces the `zeromq` package, which is 13 MB of binaries with an install script, and drops
// messages when its queues are full.
// Specification: https://rfc.zeromq.org/spec/23/
import type { Socket } from "node:net";

export type SocketType = "ROUTER" | "DEALER" | "PUB" | "SUB" | "REP" | "REQ";

const flagMore = 0x01;
const flagLong = 0x02;
const flagCommand = 0x04;
const greetingBytes = 64;
/** A peer is ready within this time and this many bytes, or isn't one: until then it costs a connection and nothing else. */
const handshakeMs = 10_000;
const handshakeBytes = 1024;
/** Of one message. Jupyter's have seven, and one for each binary buffer. */
const maxFrames = 4096;

/** What peers may have sent without completing a message, all connections of a socket together. */
export class Budget {
  readonly limit: number;
  used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }
}

export interface ZmtpLimits {
  /** Bytes of one message. */
  readonly message: number;
  /** Bytes that wait for the peer to read them. */
  readonly unread: number;
  readonly incomplete: Budget;
}

const roomy = (): ZmtpLimits => ({ message: 2 ** 31, unread: Infinity, incomplete: new Budget(Infinity) });

export interface ZmtpHandlers {
  /** Both sides are ready. `identity` is the peer's name for itself, or empty. */
  readonly onReady: (connection: ZmtpConnection, identity: string) => void;
  readonly onMessage: (connection: ZmtpConnection, frames: Buffer[]) => void;
  readonly onClose: (connection: ZmtpConnection) => void;
}

/** A connection to one peer: exchanges greetings, checks that the peer speaks ZMTP 3, then delivers whole messages. */
export class ZmtpConnection {
  readonly #socket: Socket;
  readonly #handlers: ZmtpHandlers;
  #chunks: Buffer[] = [];
  #available = 0;
  #hasGreeting = false;
  #ready = false;
  #frames: Buffer[] = [];
  #frameBytes = 0;
  #queued: Buffer[] = [];
  readonly #limits: ZmtpLimits;
  /** What of the budget this connection has taken. */
  #counted = 0;

  constructor(
    socket: Socket,
    type: SocketType,
    handlers: ZmtpHandlers,
    identity = "",
    limits: ZmtpLimits = roomy(),
  ) {
    this.#socket = socket;
    this.#handlers = handlers;
    this.#limits = limits;
    socket.setNoDelay?.(true);
    const tooSlow = setTimeout(() => {
      if (!this.#ready) socket.destroy();
    }, handshakeMs).unref();
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", () => socket.destroy()); // a "close" event follows
    socket.on("close", () => {
      clearTimeout(tooSlow);
      this.#forget();
      handlers.onClose(this);
    });
    socket.write(greeting());
    socket.write(readyCommand(type, identity));
  }

  /** The peer has said that it speaks ZMTP. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Bytes that wait for the peer to read them. */
  get unread(): number {
    return this.#socket.destroyed ? 0 : this.#socket.writableLength;
  }

  /** Bytes that the peer has taken so far. */
  get read(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  /** Sends a message, or queues it until the peer is ready. Frames must not be changed afterwards. */
  send(frames: readonly (Buffer | string)[]): void {
    const encoded = encodeMessage(frames);
    if (!this.#ready) this.#queued.push(encoded);
    // One that never reads would cost the memory of all that it is sent.
    else if (this.unread > this.#limits.unread) this.drop();
    else this.#socket.write(encoded);
  }

  /** Ends the connection at once. */
  drop(): void {
    this.#socket.destroy();
  }

  /** Closes the connection after everything has been sent. */
  close(): Promise<void> {
    return new Promise((done) => {
      if (this.#socket.destroyed) return done();
      this.#socket.once("close", () => done());
      this.#socket.end(() => this.#socket.destroy());
    });
  }

  #receive(chunk: Buffer): void {
    if (this.#socket.destroyed) return;
    this.#chunks.push(chunk);
    this.#available += chunk.length;
    try {
      while (this.#next());
      this.#checkBudget();
    } catch {
      this.#forget();
      this.drop(); // the peer doesn't speak ZMTP, so there is no way to tell it
    }
  }

  /** Counts what has arrived and is no message yet. */
  #checkBudget(): void {
    const { incomplete } = this.#limits;
    const now = this.#available + this.#frameBytes;
    incomplete.used += now - this.#counted;
    this.#counted = now;
    if (!this.#ready && now > handshakeBytes) throw new Error("a long handshake");
    if (incomplete.used > incomplete.limit) throw new Error("too much without a whole message");
  }

  #forget(): void {
    this.#limits.incomplete.used -= this.#counted;
    this.#counted = 0;
    this.#chunks = [];
    this.#frames = [];
    this.#available = 0;
    this.#frameBytes = 0;
  }

  /** Consumes one greeting or frame, if it has arrived completely. */
  #next(): boolean {
    if (!this.#hasGreeting) {
      const bytes = this.#peek(greetingBytes);
      if (bytes === undefined) return false;
      if (bytes[0] !== 0xff || bytes[9] !== 0x7f || bytes[10]! < 3) throw new Error("not ZMTP 3");
      if (bytes.toString("latin1", 12, 17) !== "NULL\0") throw new Error("a mechanism other than NULL");
      this.#take(greetingBytes);
      this.#hasGreeting = true;
      return true;
    }
    const flags = this.#peek(1)?.[0];
    if (flags === undefined) return false;
    const long = (flags & flagLong) !== 0;
    const header = this.#peek(long ? 9 : 2);
    if (header === undefined) return false;
    const size = long ? Number(header.readBigUInt64BE(1)) : header[1]!;
    const most = this.#ready ? this.#limits.message - this.#frameBytes : handshakeBytes;
    if (size > most || this.#frames.length >= maxFrames) throw new Error("a message too long");
    if (this.#available < header.length + size) return false;
    this.#take(header.length);
    this.#frame(flags, this.#take(size));
    return true;
  }

  #frame(flags: number, body: Buffer): void {
    if ((flags & flagCommand) !== 0) return this.#command(body);
    if (!this.#ready) throw new Error("a message before READY");
    this.#frames.push(body);
    this.#frameBytes += body.length;
    if ((flags & flagMore) !== 0) return;
    const frames = this.#frames;
    this.#frames = [];
    this.#frameBytes = 0;
    this.#handlers.onMessage(this, frames);
  }

  #command(body: Buffer): void {
    const name = body.toString("latin1", 1, 1 + body[0]!);
    if (name !== "READY" || this.#ready) return; // ERROR: the peer closes
    this.#ready = true;
    for (const message of this.#queued.splice(0)) this.#socket.write(message);
    this.#handlers.onReady(this, property(body.subarray(1 + body[0]!), "identity"));
  }

  #peek(bytes: number): Buffer | undefined {
    if (this.#available < bytes) return undefined;
    if (this.#chunks[0]!.length < bytes) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!.subarray(0, bytes);
  }

  #take(bytes: number): Buffer {
    if (bytes === 0) return Buffer.alloc(0);
    const result = this.#peek(bytes)!;
    this.#available -= bytes;
    const first = this.#chunks[0]!;
    if (first.length === bytes) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(bytes);
    return result;
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

/** A property of READY's metadata; names are case-insensitive. */
function property(metadata: Buffer, key: string): string {
  let offset = 0;
  while (offset < metadata.length) {
    const name = metadata.toString("latin1", offset + 1, offset + 1 + metadata[offset]!);
    offset += 1 + metadata[offset]!;
    const size = metadata.readUInt32BE(offset);
    if (name.toLowerCase() === key) return metadata.toString("latin1", offset + 4, offset + 4 + size);
    offset += 4 + size;
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
