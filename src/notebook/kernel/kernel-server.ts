// The kernel's Jupyter protocol: channels, requests, replies, busy and idle. A cell's outputs are published before its reply, and
// its reply before idle. Cells run on the main thread (main-thread.ts).
import process from "node:process";
import { setImmediate as turn } from "node:timers/promises";
import type { MessagePort } from "node:worker_threads";

import { CodeAssist } from "./language/code-assist.ts";
import { describeSyntaxError } from "./cells/cell-error.ts";
import type { Connection } from "./protocol/connection-file.ts";
import { History } from "./history.ts";
import { kernelInfo } from "./protocol/kernel-info.ts";
import { MainThread } from "./main-thread.ts";
import { messageOf } from "../../util/index.ts";
import { Signer, textOf, type Content, type Header, type Message } from "./protocol/message.ts";
import { EchoSocket, PublisherSocket, RouterSocket, type Sender } from "./protocol/sockets.ts";
import { OutputBuffer, type StreamName } from "./output-buffer.ts";
import type { CellError, MessageFromMain } from "./thread-messages.ts";
import { CellSyntaxError, completeness, transpile } from "./cells/transpile.ts";

interface Request extends Message {
  readonly prefix: readonly Buffer[];
  readonly sender: Sender;
}

type CellResult = Extract<MessageFromMain, { type: "done" }>;

/** After this long without a cell, the processor is free for other work. */
const idleMs = 700;

export class KernelServer {
  readonly #connection: Connection;
  readonly #signer: Signer;
  readonly #main: MainThread;
  readonly #assist: CodeAssist;
  readonly #history = new History();
  readonly #output = new OutputBuffer((job, name, text) =>
    this.#publish("stream", { name, text }, this.#parents.get(job)),
  );
  readonly #shell: RouterSocket;
  readonly #control: RouterSocket;
  readonly #stdin: RouterSocket;
  readonly #iopub: PublisherSocket;
  readonly #heartbeat = new EchoSocket();

  readonly #queue: Request[] = [];
  #executing: Request | undefined;
  #executionCount = 0;
  #jobs = 0;
  /** The request of each job, because what a cell left running in the background still prints to that cell. */
  readonly #parents = new Map<number, Header>();
  #onFinished: ((done: CellResult) => void) | undefined;
  #ending = false;
  #warmUpTimer: NodeJS.Timeout | undefined;

  constructor(connection: Connection, port: MessagePort) {
    this.#connection = connection;
    this.#signer = new Signer(connection.key);
    this.#main = new MainThread(port, (message) => this.#onMainMessage(message));
    this.#assist = new CodeAssist(this.#main, process.cwd());
    this.#shell = this.#router((request) => this.#onShell(request));
    this.#control = this.#router((request) => this.#onControl(request));
    this.#stdin = this.#router(() => {});
    this.#iopub = new PublisherSocket((peer, topic) => {
      const welcome = this.#signer.message("iopub_welcome", { subscription: topic.toString() });
      peer.send(this.#signer.pack(welcome, [topic]));
    });
  }

  async listen(): Promise<void> {
    const { addresses } = this.#connection;
    await Promise.all([
      this.#shell.listen(addresses.shell),
      this.#control.listen(addresses.control),
      this.#stdin.listen(addresses.stdin),
      this.#iopub.listen(addresses.iopub),
      this.#heartbeat.listen(addresses.hb),
    ]);
    this.#warmUpWhenIdle();
  }

  /** Loads TypeScript while the kernel is idle, because JupyterLab gives up a completion after a second. */
  #warmUpWhenIdle(): void {
    clearTimeout(this.#warmUpTimer);
    this.#warmUpTimer = setTimeout(() => this.#assist.warmUp(), idleMs).unref();
  }

  /** Exits the process after everything has been sent. */
  async shutdown(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    const sockets = [this.#shell, this.#control, this.#stdin, this.#iopub, this.#heartbeat];
    await Promise.race([
      Promise.all(sockets.map((socket) => socket.close())),
      new Promise((done) => setTimeout(done, 500)),
    ]);
    this.#main.exit();
  }

  #router(receive: (request: Request) => Promise<void> | void): RouterSocket {
    return new RouterSocket((sender, frames) => {
      const message = this.#signer.unpack(frames);
      if (message === undefined) return false;
      void this.#attempt({ ...message, sender }, receive);
      return true;
    });
  }

  /** A request that the kernel fails at ends with an error, and the kernel goes on. */
  async #attempt(request: Request, receive: (request: Request) => Promise<void> | void): Promise<void> {
    try {
      await receive(request);
    } catch (error) {
      this.#refuse(request, error);
    }
  }

  #refuse(request: Request, error: unknown): void {
    try {
      this.#reply(request, failure(describeFailure(error)));
      this.#status("idle", request.header);
    } catch {
      // Nor can this request be answered: its own header has no JSON.
    }
  }

  async #onShell(request: Request): Promise<void> {
    if (request.header.msg_type === "execute_request") {
      this.#queue.push(request);
      if (this.#executing === undefined) await this.#executeAll();
      return;
    }
    await this.#answer(request);
  }

  async #onControl(request: Request): Promise<void> {
    const { msg_type: type } = request.header;
    if (type === "interrupt_request") {
      this.#status("busy", request.header);
      await this.#main.interrupt();
      this.#reply(request, { status: "ok" });
      this.#status("idle", request.header);
    } else if (type === "shutdown_request") {
      const content = { status: "ok", restart: request.content["restart"] === true };
      this.#status("busy", request.header);
      this.#reply(request, content);
      this.#publish("shutdown_reply", content, request.header);
      this.#status("idle", request.header);
      await this.shutdown();
    } else {
      await this.#answer(request);
    }
  }

  /** Answers a request at once, even while a cell runs. */
  async #answer(request: Request): Promise<void> {
    const content = await this.#answerTo(request);
    this.#status("busy", request.header);
    if (content !== undefined) this.#reply(request, content);
    this.#status("idle", request.header);
    // Clients show the latest status, whichever request it belongs to.
    if (this.#executing !== undefined) this.#status("busy", this.#executing.header);
  }

  async #answerTo({ header, content }: Request): Promise<Content | undefined> {
    const code = textOf(content["code"]);
    try {
      switch (header.msg_type) {
        case "kernel_info_request":
          return { status: "ok", ...kernelInfo() };
        case "complete_request":
          return await this.#assist.complete(code, cursorOf(content, code));
        case "inspect_request":
          return await this.#assist.inspect(code, cursorOf(content, code));
        case "is_complete_request":
          return { ...completeness(code) };
        case "history_request":
          return { status: "ok", history: this.#history.answer(content) };
        case "comm_info_request":
          return { status: "ok", comms: {} };
        case "comm_open":
          this.#publish("comm_close", { comm_id: content["comm_id"], data: {} }, header);
          return undefined;
        default:
          return undefined;
      }
    } catch (error) {
      return failure(describeFailure(error));
    }
  }

  async #executeAll(): Promise<void> {
    clearTimeout(this.#warmUpTimer);
    for (;;) {
      const request = this.#queue.shift();
      if (request === undefined) return this.#warmUpWhenIdle();
      this.#executing = request;
      try {
        for (const aborted of await this.#execute(request)) this.#abort(aborted);
      } catch (error) {
        this.#refuse(request, error);
      }
      this.#executing = undefined;
    }
  }

  /** Runs one cell. Returns the queued requests that are aborted because it failed. */
  async #execute(request: Request): Promise<Request[]> {
    const { header, content } = request;
    const code = textOf(content["code"]);
    const silent = content["silent"] === true;
    const isStored = !silent && content["store_history"] !== false;
    this.#status("busy", header);
    if (isStored) this.#executionCount++;
    const count = this.#executionCount;
    if (!silent) this.#publish("execute_input", { code, execution_count: count }, header);
    const done = await this.#run(request, code, count, silent);
    if (isStored) this.#history.add(count, code)(done.result);
    const stop = done.error !== undefined && content["stop_on_error"] !== false;
    if (stop) for (let i = 0; i < 2; i++) await turn(); // receives requests sent before the client knew of the failure
    const aborted = stop ? this.#queue.splice(0) : [];
    if (done.error !== undefined && !silent) this.#publish("error", { ...done.error }, header);
    this.#reply(request, {
      execution_count: count,
      ...(done.error === undefined
        ? { status: "ok", payload: [], user_expressions: done.expressions }
        : failure(done.error)),
    });
    this.#status("idle", header);
    return aborted;
  }

  async #run(request: Request, code: string, executionCount: number, silent: boolean): Promise<CellResult> {
    const job = ++this.#jobs;
    this.#parents.set(job, request.header);
    const done: CellResult = { type: "done", job, error: undefined, expressions: {}, result: undefined };
    if (code.trim() === "") return done;
    const url = `cell-${silent ? `0${job}` : executionCount}.ts`;
    let transpiled;
    try {
      transpiled = transpile(code, url);
    } catch (error) {
      const isSyntax = error instanceof CellSyntaxError;
      return {
        ...done,
        error: isSyntax ? describeSyntaxError(error, code, url) : describeFailure(error),
      };
    }
    if (!silent) this.#assist.add(code);
    const expressions = Object.entries(
      (request.content["user_expressions"] ?? {}) as Record<string, unknown>,
    );
    const finished = new Promise<CellResult>((resolve) => (this.#onFinished = resolve));
    this.#main.execute({
      type: "execute",
      job,
      url,
      code,
      ...transpiled,
      executionCount,
      silent,
      expressions: Object.fromEntries(expressions.map(([name, text]) => [name, textOf(text)])),
    });
    return await finished;
  }

  /** Without an execution count: the cell keeps the number that it had, or none. */
  #abort(request: Request): void {
    this.#status("busy", request.header);
    this.#reply(request, {
      ...failure({ ename: "Aborted", evalue: "a cell before this one failed", traceback: [] }),
      status: "aborted",
    });
    this.#status("idle", request.header);
  }

  #onMainMessage(message: Exclude<MessageFromMain, { type: "turned" }>): void {
    if (message.type === "output" && message.messageType === "stream") {
      const { name, text } = message.content as { name: StreamName; text: string };
      this.#output.write(message.job, name, text);
      return;
    }
    this.#output.flush();
    if (message.type === "output") {
      this.#publish(message.messageType, message.content, this.#parents.get(message.job));
    } else if (message.type === "done") {
      this.#onFinished?.(message);
    } else {
      void this.#main.interrupt();
    }
  }

  #status(state: "busy" | "idle", parent: Header): void {
    this.#publish("status", { execution_state: state }, parent);
  }

  #publish(type: string, content: Content, parent: Header | undefined): void {
    const message = this.#signer.message(type, content, parent ?? {});
    this.#iopub.publish(this.#signer.pack(message, [`kernel.${type}`]));
  }

  #reply({ header, sender, prefix }: Request, content: Content): void {
    const type = header.msg_type.replace(/_request$/, "_reply");
    sender.peer.send(this.#signer.pack(this.#signer.message(type, content, header), prefix));
  }
}

function cursorOf({ cursor_pos: cursor }: Content, code: string): number {
  return typeof cursor === "number" && cursor >= 0 ? Math.floor(cursor) : code.length;
}

function describeFailure(error: unknown): CellError {
  const text = messageOf(error);
  return { ename: "Error", evalue: text, traceback: [text] };
}

function failure(error: CellError): Content {
  return { status: "error", ...error };
}
