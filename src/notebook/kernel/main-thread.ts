// The server thread's control of the main thread: jobs go through the port; calls go through the inspector, which works even
// while a cell's loop is busy. Kills the process if nothing else ends it.
import { Session, type Runtime } from "node:inspector";
import process from "node:process";
import type { MessagePort } from "node:worker_threads";

import {
  controlName,
  type ExecuteJob,
  type MessageFromMain,
  type MainThreadControl,
  type MessageToMain,
} from "./thread-messages.ts";

/** If the event loop hasn't turned for this long after an interrupt, the main thread is stuck in a cell's code. */
const stuckMs = 400;
/** Time limit for the process's exit handlers. */
const exitMs = 2_000;

export class MainThread {
  readonly #port: MessagePort;
  readonly #session = new Session();
  readonly #pendingTurns = new Map<number, () => void>();
  #interrupts = 0;

  constructor(port: MessagePort, receive: (message: Exclude<MessageFromMain, { type: "turned" }>) => void) {
    this.#port = port;
    this.#session.connectToMainThread();
    port.on("message", (message: MessageFromMain) => {
      if (message.type !== "turned") return receive(message);
      this.#pendingTurns.get(message.interrupt)?.();
      this.#pendingTurns.delete(message.interrupt);
    });
  }

  execute(job: ExecuteJob): void {
    this.#send(job);
  }

  /** Requests an interrupt, and terminates the running code if the thread stays stuck. */
  async interrupt(): Promise<void> {
    const interrupt = ++this.#interrupts;
    const turned = new Promise<true>((done) => this.#pendingTurns.set(interrupt, () => done(true)));
    if ((await this.#call("interrupt", interrupt)) === "handled") return;
    let timer: NodeJS.Timeout | undefined;
    const timedOut = new Promise<false>((done) => (timer = setTimeout(() => done(false), stuckMs)));
    if (!(await Promise.race([turned, timedOut]))) await this.#call("terminate");
    clearTimeout(timer);
  }

  /** Exits the process: from the main thread's event loop, else by interrupting its code, else with SIGKILL. */
  exit(): void {
    this.#session.disconnect(); // Node's exit waits for connected inspectors
    this.#send({ type: "exit" });
    setTimeout(() => {
      this.#session.connectToMainThread();
      void this.#call("exit");
    }, stuckMs);
    setTimeout(() => process.kill(process.pid, "SIGKILL"), exitMs);
  }

  /** Evaluates an expression; undefined if it has side effects, fails, or takes too long. */
  async evaluate(expression: string): Promise<Runtime.RemoteObject | undefined> {
    const { result, exceptionDetails } = await this.#post<Runtime.EvaluateReturnType>("Runtime.evaluate", {
      expression,
      throwOnSideEffect: true,
      timeout: 200,
      silent: true,
      objectGroup: "inspection",
    });
    return exceptionDetails === undefined ? result : undefined;
  }

  async propertiesOf(objectId: string): Promise<Runtime.GetPropertiesReturnType> {
    return await this.#post("Runtime.getProperties", { objectId, ownProperties: true });
  }

  /** Releases the objects that evaluate() returned. */
  async release(): Promise<void> {
    await this.#post("Runtime.releaseObjectGroup", { objectGroup: "inspection" });
  }

  #send(message: MessageToMain): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#port.postMessage(message);
  }

  async #call(name: keyof MainThreadControl, ...args: number[]): Promise<unknown> {
    const expression = `globalThis[Symbol.for(${JSON.stringify(controlName)})].${name}(${args.join(", ")})`;
    try {
      return (await this.#post<Runtime.EvaluateReturnType>("Runtime.evaluate", { expression, silent: true }))
        .result.value;
    } catch {
      return undefined; // terminate() also terminates this evaluation
    }
  }

  #post<T>(method: string, parameters: object): Promise<T> {
    return new Promise((done, fail) => {
      this.#session.post(method, parameters, (error, result) => (error ? fail(error) : done(result as T)));
    });
  }
}
