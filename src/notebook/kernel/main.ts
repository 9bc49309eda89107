// The kernel's program, `node main.ts CONNECTION_FILE`: starts the server thread and leaves the main thread to the cells. Sets up
// their streams, console and display, and a process that they can't exit by accident.
import { Console } from "node:console";
import { Session } from "node:inspector";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";

import { messageOf, UserError, useCompileCache } from "../../util/index.ts";
import { display } from "../display.ts";
import { hostSymbol, type NotebookHost } from "../host.ts";
import { readConnectionFile } from "./protocol/connection-file.ts";
import { Evaluator, terminateRunning, terminationMarker } from "./cells/evaluator.ts";
import { Interrupted } from "./cells/interrupts.ts";
import { describeError } from "./cells/cell-error.ts";
import { cutText } from "./cells/output-content.ts";
import { encodeBundle } from "./cells/display-bundle.ts";
import type { StreamName } from "./output-buffer.ts";
import { inheritOutput } from "./cells/child-output.ts";
import { confirm, NoInput, prompt } from "./cells/no-input.ts";
import { OutputStream } from "./cells/output-stream.ts";
import { serverProgram } from "./programs.ts";
import { projectKernel } from "./project-kernel.ts";
import { installStackTraces } from "./cells/stack-trace.ts";
import {
  controlName,
  type MessageFromMain,
  type MainThreadControl,
  type MessageToMain,
} from "./thread-messages.ts";

useCompileCache();

const terminal = { out: process.stdout, error: process.stderr };
const exit = process.exit.bind(process);

try {
  const other = projectKernel(process.cwd());
  if (other === undefined) start(process.argv[2]);
  else await import(pathToFileURL(other).href);
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  terminal.error.write(`error: ${error.message}\n`);
  exit(2);
}

function start(connectionFile: string | undefined): void {
  if (connectionFile === undefined)
    throw new UserError("expected a Jupyter connection file as the only argument");
  const server = new Worker(serverProgram, { workerData: readConnectionFile(connectionFile) });
  server.on("error", (error: unknown) => {
    terminal.error.write(
      `torchforge's kernel ended: ${error instanceof Error ? error.stack : messageOf(error)}\n`,
    );
    exit(1);
  });
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  const post = (message: MessageFromMain): void => server.postMessage(message);
  const evaluator = new Evaluator(process.cwd(), post);
  installStackTraces();
  installStreams(evaluator);
  const host = installHost(evaluator);
  guardProcess(evaluator);
  installControl(evaluator, post);
  // Loaded while the other thread loads TypeScript, and awaited before the first cell.
  const presenter = import("../presenter.ts").then(({ installPresenter }) => installPresenter(host));
  server.on("message", (message: MessageToMain) => {
    if (message.type === "execute") void presenter.then(() => evaluator.execute(message));
    else exit(0);
  });
}

function installStreams(evaluator: Evaluator): void {
  const streamFor = (fd: number, name: StreamName): OutputStream =>
    new OutputStream(fd, (text) => evaluator.publish("stream", { name, text }));
  const [stdout, stderr] = [streamFor(1, "stdout"), streamFor(2, "stderr")];
  Object.defineProperty(process, "stdout", { value: stdout, configurable: true, enumerable: true });
  Object.defineProperty(process, "stderr", { value: stderr, configurable: true, enumerable: true });
  Object.defineProperty(process, "stdin", { value: new NoInput(), configurable: true, enumerable: true });
  for (const [name, value] of Object.entries({ prompt, confirm }))
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  inheritOutput();
  // Node's own console also reports to the inspector, which keeps the last thousand printed objects alive.
  const fresh = new Console({ stdout, stderr }) as unknown as Record<string, unknown>;
  const shared = globalThis.console as unknown as Record<string, unknown>;
  for (const name of Object.keys(shared)) {
    if (typeof fresh[name] === "function") shared[name] = fresh[name];
  }
}

function installHost(evaluator: Evaluator): NotebookHost {
  const host: NotebookHost = {
    display({ data, metadata = {}, displayId, update = false }) {
      evaluator.publish(update ? "update_display_data" : "display_data", {
        data: encodeBundle({ ...data }),
        metadata,
        transient: displayId === undefined ? {} : { display_id: displayId },
      });
    },
    keepOpen: (work) => evaluator.keepOpen(work),
    clearOutput: (wait) => evaluator.publish("clear_output", { wait }),
    onInterrupt: (handler) => evaluator.interrupts.onInterrupt(handler),
  };
  Object.defineProperty(globalThis, hostSymbol, { value: host });
  Object.defineProperty(globalThis, "display", { value: display, configurable: true, writable: true });
  return host;
}

/** Prevents a cell, or its background work, from ending the kernel. */
function guardProcess(evaluator: Evaluator): void {
  const refuse = (what: string) => (): never => {
    throw new Error(
      `${what} in a cell would end the kernel. To end it, use Kernel > Shut Down; to stop a cell, throw an error.`,
    );
  };
  process.exit = refuse("process.exit()");
  process.abort = refuse("process.abort()");
  const report = (kind: string) => (error: unknown) => {
    if (error === terminationMarker || error instanceof Interrupted) return;
    const text = cutText(backgroundText(error));
    evaluator.publish("stream", { name: "stderr", text: `${kind} in the background: ${text}\n` });
  };
  process.on("uncaughtException", report("Uncaught exception"));
  process.on("unhandledRejection", report("Unhandled rejection"));
}

function backgroundText(error: unknown): string {
  try {
    return error instanceof Error ? (error.stack ?? String(error)) : String(error);
  } catch {
    return describeError(error).evalue; // its own methods throw
  }
}

function installControl(evaluator: Evaluator, post: (message: MessageFromMain) => void): void {
  const session = new Session();
  session.connect();
  const control: MainThreadControl = {
    interrupt(interrupt) {
      const cell = evaluator.running;
      const handlers = evaluator.interrupts.handlersOf(cell);
      setImmediate(() => post({ type: "turned", interrupt }));
      for (const handler of handlers) setImmediate(handler);
      if (cell === undefined) return handlers.length > 0 ? "handled" : "idle";
      const first = !cell.handlersCalled;
      cell.handlersCalled = true;
      cell.handled ||= handlers.length > 0;
      if (cell.handled && first) return "handled";
      if (cell.rejected) setImmediate(() => evaluator.abandon(cell)); // it ignored the first rejection
      else evaluator.interrupts.reject(cell);
      return "asked";
    },
    terminate() {
      // The stuck code is below this call on the stack. Without any, terminateExecution would hit the next code to run.
      const limit = Error.stackTraceLimit;
      Error.stackTraceLimit = Infinity;
      const [, , ...frames] = new Error("where").stack!.split("\n");
      Error.stackTraceLimit = limit;
      const places = frames.map((line) => line.replace(/^\s*at /, ""));
      if (places.length > 0)
        terminateRunning(evaluator, places, () => session.post("Runtime.terminateExecution"));
    },
    exit: () => exit(0),
  };
  Object.defineProperty(globalThis, Symbol.for(controlName), { value: control });
  process.on("SIGINT", () => post({ type: "interrupted" }));
}
