// The server thread's hold on the main thread: jobs through the port, and calls through the inspector, which get through to
// a thread that is busy in a cell's loop. Kills the process when nothing else ends it.
import { Session, type Runtime } from "node:inspector";
import process from "node:process";
import type { MessagePort } from "node:worker_threads";

import {
  controlName,
  type ExecuteJob,
  type FromMain,
  type MainThreadControl,
  type ToMain,
} from "./thread-messages.ts";

/** A main thread that has not turned its event loop for this long after an interrupt is stuck in a cell's code. */
const stuckMs = 400;
/** What handlers of the process's end may take. */
const exitMs = 2_000;

export class MainThread {
  readonly #port: MessagePort;
  readonly #session = new Session();
  readonly #waiting = new Map<number, () => void>();
  #interrupts = 0;

  constructor(port: MessagePort, receive: (message: Exclude<FromMain, { type: "turned" }>) => void) {
    this.#port = port;
    this.#session.connectToMainThread();
    port.on("message", (message: FromMain) => {
      if (message.type !== "turned") return receive(message);
      this.#waiting.get(message.interrupt)?.();
      this.#waiting.delete(message.interrupt);
    });
  }

  execute(job: ExecuteJob): void {
    this.#send(job);
  }

  /** Asks first; ends what is running when the thread doesn't come to the end of it by itself. */
  async interrupt(): Promise<void> {
    const interrupt = ++this.#interrupts;
    const turned = new Promise<true>((done) => this.#waiting.set(interrupt, () => done(true)));
    if ((await this.#call("interrupt", interrupt)) === "handled") return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((done) => (timer = setTimeout(() => done(false), stuckMs)));
    if (!(await Promise.race([turned, late]))) await this.#call("terminate");
    clearTimeout(timer);
  }

  /** Ends the process: when the main thread turns, else out of what it is doing, else by force. */
  exit(): void {
    this.#session.disconnect(); // Node waits for an inspector that is still there
    this.#send({ type: "exit" });
    setTimeout(() => {
      this.#session.connectToMainThread();
      void this.#call("exit");
    }, stuckMs);
    setTimeout(() => process.kill(process.pid, "SIGKILL"), exitMs);
  }

  /** Evaluates what has no side effects; undefined when it has, fails, or takes too long. */
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

  /** Lets go of what evaluate() gave. */
  async release(): Promise<void> {
    await this.#post("Runtime.releaseObjectGroup", { objectGroup: "inspection" });
  }

  #send(message: ToMain): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#port.postMessage(message);
  }

  async #call(name: keyof MainThreadControl, ...args: number[]): Promise<unknown> {
    const expression = `globalThis[Symbol.for(${JSON.stringify(controlName)})].${name}(${args.join(", ")})`;
    try {
      return (await this.#post<Runtime.EvaluateReturnType>("Runtime.evaluate", { expression, silent: true }))
        .result.value;
    } catch {
      return undefined; // terminate() ends this very evaluation
    }
  }

  #post<T>(method: string, parameters: object): Promise<T> {
    return new Promise((done, fail) => {
      this.#session.post(method, parameters, (error, result) => (error ? fail(error) : done(result as T)));
    });
  }
}
