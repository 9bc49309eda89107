// A Jupyter client for tests: starts a kernel on sockets in a folder of its own (no ports), sends requests, and gathers what
// comes back for each. Speaks through the kernel's own wire modules; that others understand them is kernel-python's business.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";

import {
  channels,
  readConnectionFile,
  type Channel,
} from "../../src/notebook/kernel/protocol/connection-file.ts";
import { Signer, type Content, type Message } from "../../src/notebook/kernel/protocol/message.ts";
import { kernelProgram } from "../../src/notebook/kernel/programs.ts";
import type { Address } from "../../src/notebook/kernel/protocol/sockets.ts";
import { ZmtpConnection, type SocketType } from "../../src/notebook/kernel/protocol/zmtp.ts";

const socketTypes: Readonly<Record<Channel, SocketType>> = {
  shell: "DEALER",
  control: "DEALER",
  stdin: "DEALER",
  iopub: "SUB",
  hb: "REQ",
};

/** Everything that answers one request, in the order of its channel. */
export interface Exchange {
  readonly reply: Message;
  /** iopub, from busy to idle, both included. */
  readonly published: readonly Message[];
}

export interface Executed extends Exchange {
  readonly status: string;
  readonly stdout: string;
  readonly stderr: string;
  /** text/plain of the result. */
  readonly result: string | undefined;
  /** Without colors. */
  readonly traceback: string;
  readonly ename: string | undefined;
  /** display_data, update_display_data, execute_result: type and content. */
  readonly shown: readonly { readonly type: string; readonly content: Content }[];
}

interface Pending {
  reply?: Message;
  readonly published: Message[];
  idle: boolean;
  readonly done: (exchange: Exchange) => void;
  readonly fail: (error: Error) => void;
  readonly watch: ((message: Message) => void) | undefined;
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly node?: string;
  readonly program?: string;
  /** Default: sockets in the kernel's folder. */
  readonly transport?: "ipc" | "tcp";
}

export class KernelClient implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly folder: string;
  readonly signer: Signer;
  readonly #connections = new Map<Channel, ZmtpConnection>();
  readonly #pending = new Map<string, Pending>();
  readonly #echoes: ((frames: Buffer[]) => void)[] = [];
  /** Everything on iopub so far. */
  readonly #heard: Message[] = [];
  #onHeard: (() => void)[] = [];
  #terminal = "";

  private constructor(folder: string, child: ChildProcess, key: string) {
    this.folder = folder;
    this.process = child;
    this.signer = new Signer(key);
    child.stdout!.setEncoding("utf8").on("data", (text: string) => (this.#terminal += text));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.#terminal += text));
    child.once("exit", (code, signal) => this.#fail(`the kernel ended with ${code ?? signal}`));
  }

  /** A kernel that has answered once. */
  static async start(options: StartOptions = {}): Promise<KernelClient> {
    const folder = mkdtempSync(join(tmpdir(), "torchforge-kernel-"));
    const file = join(folder, "connection.json");
    const key = "a key";
    const { transport = "ipc" } = options;
    const free = transport === "ipc" ? [1, 2, 3, 4, 5] : await freePorts(channels.length);
    const ports = Object.fromEntries(channels.map((channel, i) => [`${channel}_port`, free[i]]));
    writeFileSync(
      file,
      JSON.stringify({
        transport,
        ip: transport === "ipc" ? join(folder, "s") : "127.0.0.1",
        key,
        signature_scheme: "hmac-sha256",
        ...ports,
      }),
    );
    const child = spawn(options.node ?? process.execPath, [options.program ?? kernelProgram, file], {
      cwd: options.cwd ?? folder,
      env: { ...process.env, NODE_OPTIONS: "", NODE_TEST_CONTEXT: undefined, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const client = new KernelClient(folder, child, key);
    const { addresses } = readConnectionFile(file);
    for (const channel of channels) {
      const address = addresses[channel];
      await client.#connect(channel, address);
    }
    await client.#subscribed();
    return client;
  }

  get terminal(): string {
    return this.#terminal;
  }

  async execute(code: string, options: Content = {}, watch?: (message: Message) => void): Promise<Executed> {
    const content = {
      code,
      silent: false,
      store_history: true,
      user_expressions: {},
      allow_stdin: false,
      stop_on_error: true,
    };
    return read(await this.request("shell", "execute_request", { ...content, ...options }, watch));
  }

  request(
    channel: "shell" | "control",
    type: string,
    content: Content = {},
    watch?: (message: Message) => void,
  ): Promise<Exchange> {
    const message = this.signer.message(type, content);
    return new Promise((done, fail) => {
      this.#pending.set(message.header.msg_id, { published: [], idle: false, done, fail, watch });
      this.#connections.get(channel)!.send(this.signer.pack(message));
    });
  }

  /** Frames as they are, on any channel. */
  sendRaw(channel: Channel, frames: readonly (Buffer | string)[]): void {
    this.#connections.get(channel)!.send(frames);
  }

  /** A message and its echo. */
  heartbeat(text: string): Promise<string> {
    return new Promise((done) => {
      this.#echoes.push((frames) => done(frames.at(-1)!.toString()));
      this.sendRaw("hb", ["", text]);
    });
  }

  async interrupt(): Promise<void> {
    await this.request("control", "interrupt_request");
  }

  /** The first iopub message that passes, now or later, whatever it belongs to. */
  async until(wanted: (message: Message) => boolean): Promise<Message> {
    for (;;) {
      const found = this.#heard.find(wanted);
      if (found !== undefined) return found;
      await new Promise<void>((done) => this.#onHeard.push(done));
    }
  }

  async shutdown(restart = false): Promise<Message> {
    const { reply } = await this.request("control", "shutdown_request", { restart });
    if (this.process.exitCode === null && this.process.signalCode === null) await once(this.process, "exit");
    return reply;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill("SIGKILL");
      await once(this.process, "exit");
    }
    await Promise.all([...this.#connections.values()].map((connection) => connection.close()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #connect(channel: Channel, address: Address): Promise<void> {
    let socket: Socket;
    for (;;) {
      if (this.process.exitCode !== null) throw new Error(`the kernel ended: ${this.#terminal}`);
      socket = connect(address);
      if (
        await new Promise((done) => socket.once("connect", () => done(true)).once("error", () => done(false)))
      )
        break;
      await new Promise((done) => setTimeout(done, 5));
    }
    socket.removeAllListeners("error");
    const connection = new ZmtpConnection(
      socket,
      socketTypes[channel],
      {
        onReady: () => {},
        onMessage: (_, frames) =>
          channel === "hb" ? this.#echoes.shift()?.(frames) : this.#receive(channel, frames),
        onClose: () => {},
      },
      channel === "iopub" || channel === "hb" ? "" : "the client",
    );
    this.#connections.set(channel, connection);
  }

  /** The kernel greets a new subscriber. */
  async #subscribed(): Promise<void> {
    this.#connections.get("iopub")!.send([Buffer.from([1])]);
    await this.until(({ header }) => header.msg_type === "iopub_welcome");
  }

  #receive(channel: Channel, frames: Buffer[]): void {
    const message = this.signer.unpack(frames);
    if (message === undefined) throw new Error("a message with a wrong signature");
    const id = (message.parent as { msg_id?: string }).msg_id ?? "";
    const pending = this.#pending.get(id);
    if (channel === "iopub") {
      this.#heard.push(message);
      for (const done of this.#onHeard.splice(0)) done();
    }
    if (pending === undefined) return;
    if (channel === "iopub") {
      pending.published.push(message);
      if (message.content["execution_state"] === "idle") pending.idle = true;
    } else {
      pending.reply = message;
    }
    pending.watch?.(message);
    if (!pending.idle || pending.reply === undefined) return;
    this.#pending.delete(id);
    pending.done({ reply: pending.reply, published: pending.published });
  }

  #fail(why: string): void {
    for (const { fail } of this.#pending.values()) fail(new Error(`${why}\n${this.#terminal}`));
    this.#pending.clear();
  }
}

/** Ports that nobody listens on now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

// eslint-disable-next-line no-control-regex
const colors = /\x1b\[\d+m/g;

function read(exchange: Exchange): Executed {
  const { reply, published } = exchange;
  const stream = (name: string): string =>
    published
      .filter(({ header, content }) => header.msg_type === "stream" && content["name"] === name)
      .map(({ content }) => String(content["text"]))
      .join("");
  const shown = published
    .filter(({ header }) =>
      ["display_data", "update_display_data", "execute_result"].includes(header.msg_type),
    )
    .map(({ header, content }) => ({ type: header.msg_type, content }));
  const result = shown.find(({ type }) => type === "execute_result")?.content["data"] as
    | Record<string, string>
    | undefined;
  const error = published.find(({ header }) => header.msg_type === "error")?.content;
  return {
    reply,
    published,
    status: String(reply.content["status"]),
    stdout: stream("stdout"),
    stderr: stream("stderr"),
    result: result?.["text/plain"],
    ename: error === undefined ? undefined : String(error["ename"]),
    traceback: ((error?.["traceback"] ?? []) as string[]).join("\n").replaceAll(colors, ""),
    shown,
  };
}
