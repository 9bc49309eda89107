// Runs cells on the main thread: one at a time, each in its own asynchronous context, so that later output is still attributed
// to it. Knows neither sockets nor TypeScript; results go through `post`.
import { AsyncLocalStorage } from "node:async_hooks";
import process from "node:process";
import vm from "node:vm";

import { describeCompileError, describeError, withHint } from "./cell-error.ts";
import { bundleOf, type MimeBundle } from "./display-bundle.ts";
import { cutText, errorContent, outputContent } from "./output-content.ts";
import { Importer } from "./importer.ts";
import { Interrupted, Interrupts, type Interruptible } from "./interrupts.ts";
import { shellHint } from "./magics.ts";
import type { Content } from "../protocol/message.ts";
import { registerCell } from "./stack-trace.ts";
import type { CellError, ExecuteJob, MessageFromMain } from "../thread-messages.ts";
import { cellApiName } from "./transpile.ts";

/** The functions that a transpiled cell calls; see transpile.ts. */
interface CellApi {
  readonly wait: (value: unknown, place: string) => unknown;
  readonly each: (iterable: unknown, place: string) => AsyncIterable<unknown>;
  /** `names` and `place` come from a static import; `import()` is awaited by the cell itself. */
  readonly import: (
    specifier: string,
    options?: ImportCallOptions,
    names?: readonly string[],
    place?: string,
  ) => unknown;
  readonly meta: object;
}

const stoppedMessage =
  "the cell was stopped: it has ended what it was doing, and its result is above; queued cells do not run";

/** The value of the last expression is in an array, so that a promise isn't awaited implicitly. */
type CellBody = (api: CellApi) => Promise<readonly [unknown] | undefined>;

export interface Cell extends Interruptible {
  readonly request: ExecuteJob;
  /** Outputs that are still being computed. */
  readonly openOutputs: Set<Promise<unknown>>;
  /** What such an output failed with. */
  readonly outputErrors: unknown[];
  done: boolean;
}

export class Evaluator {
  readonly #post: (message: MessageFromMain) => void;
  readonly #context = new AsyncLocalStorage<Cell>();
  readonly #declared = new Set<string>();
  readonly #api: CellApi;
  readonly interrupts: Interrupts<Cell>;
  #running: Cell | undefined;
  #lastJob = 0;

  constructor(folder: string, post: (message: MessageFromMain) => void) {
    this.#post = post;
    this.interrupts = new Interrupts(() => this.#context.getStore());
    const importer = new Importer(folder);
    this.#api = {
      wait: (value, place) => this.interrupts.wait(value, place),
      each: (iterable, place) => this.interrupts.iterate(iterable, place),
      import: (specifier, options, names, place) => {
        const imported = importer.import(specifier, options, names);
        return place === undefined ? imported : this.interrupts.wait(imported, place);
      },
      meta: importer.meta,
    };
    Object.defineProperty(globalThis, "require", {
      value: importer.require,
      configurable: true,
      writable: true,
    });
  }

  get running(): Cell | undefined {
    return this.#running;
  }

  /** The job that the calling code belongs to; outside of any cell, the running or latest one. */
  get job(): number {
    return this.#context.getStore()?.request.job ?? this.#running?.request.job ?? this.#lastJob;
  }

  /** Makes the cell wait for `work` before it ends. */
  keepOpen(work: Promise<unknown>): void {
    const cell = this.#context.getStore();
    if (cell === undefined || cell.done) return; // a failure is reported as one in the background
    cell.openOutputs.add(work);
    const close = (): void => void cell.openOutputs.delete(work);
    work.then(close, (error: unknown) => {
      close();
      if (cell.done) this.publish("stream", { name: "stderr", text: `${describeError(error).evalue}\n` });
      else cell.outputErrors.push(error);
    });
  }

  /**
   * Publishes an output for the cell that the calling code belongs to.
   * @throws an error for the cell, if the content can't be shown
   */
  publish(messageType: string, content: Content): void {
    this.#send(this.job, messageType, content);
  }

  execute(request: ExecuteJob): void {
    const cell: Cell = {
      request,
      openOutputs: new Set(),
      outputErrors: [],
      done: false,
      abandoned: false,
      pending: false,
      rejected: false,
      handlersCalled: false,
      handled: false,
    };
    this.#running = cell;
    this.#lastJob = request.job;
    registerCell(request.url, request);
    let body: CellBody;
    try {
      body = this.#compile(request);
    } catch (error) {
      const cellError =
        error instanceof SyntaxError ? describeCompileError(error, request.code) : describeError(error);
      return this.#finish(cell, cellError);
    }
    // If the body's synchronous part is terminated, this frame is unwound too.
    const execution = this.#context.run(cell, () => body(this.#api));
    execution.then(
      (last) => this.#succeed(cell, last?.[0]),
      (error: unknown) => this.fail(cell, error),
    );
  }

  /** Ends the cell with an error, even if its code is still running. */
  fail(cell: Cell, error: unknown): void {
    this.#finish(cell, withHint(describeError(error), shellHint(error, cell.request.code)));
  }

  /** Ends a cell that ignored an interrupt. Its remaining code stops at the next await. */
  abandon(cell: Cell, places: readonly string[] = []): void {
    cell.abandoned = true;
    this.fail(cell, new Interrupted(places));
  }

  #compile({ js, url, names }: ExecuteJob): CellBody {
    const script = new vm.Script(`(async (${cellApiName}) => { "use strict";\n${js}\n})`, {
      filename: url,
      lineOffset: -1,
    });
    const newNames = names.filter((name) => !this.#declared.has(name));
    if (newNames.length > 0) {
      new vm.Script(`let ${newNames.join(", ")};`, { filename: url }).runInThisContext();
      for (const name of newNames) this.#declared.add(name);
    }
    return script.runInThisContext() as CellBody;
  }

  async #succeed(cell: Cell, value: unknown): Promise<void> {
    if (cell.done) return;
    try {
      while (cell.openOutputs.size > 0) await Promise.allSettled(cell.openOutputs);
      if (cell.outputErrors.length > 0) return this.fail(cell, cell.outputErrors[0]);
      let result: string | undefined;
      if (value !== undefined && !cell.request.silent) {
        const bundle = await this.#context.run(cell, () =>
          this.interrupts.wait(bundleOf(value), cell.request.url),
        );
        if (cell.done) return;
        const data = bundle as MimeBundle;
        if (Object.keys(data).length > 0) {
          const content = { execution_count: cell.request.executionCount, data, metadata: {} };
          this.#send(cell.request.job, "execute_result", content);
          result = cutText(String(data["text/plain"]));
        }
      }
      const error = cell.handled ? describeError(new Interrupted([], stoppedMessage)) : undefined;
      this.#finish(cell, error, this.#evaluateAll(cell.request), result);
    } catch (error) {
      this.fail(cell, error);
    }
  }

  #evaluateAll({ expressions, url }: ExecuteJob): Content {
    const values: Content = {};
    for (const [name, js] of Object.entries(expressions)) {
      try {
        const data = bundleOf(new vm.Script(js, { filename: url }).runInThisContext());
        values[name] = { status: "ok", ...outputContent({ data, metadata: {} }) };
      } catch (error) {
        values[name] = { status: "error", ...errorContent(describeError(error)) };
      }
    }
    return values;
  }

  #finish(cell: Cell, error: CellError | undefined, expressions: Content = {}, result?: string): void {
    if (cell.done) return;
    cell.done = true;
    if (this.#running === cell) this.#running = undefined;
    const shown = error === undefined ? undefined : errorContent(error);
    this.#post({ type: "done", job: cell.request.job, error: shown, expressions, result });
  }

  #send(job: number, messageType: string, content: Content): void {
    this.#post({
      type: "output",
      job,
      messageType,
      content: messageType === "stream" ? content : outputContent(content),
    });
  }
}

/** Terminates the running JavaScript and its cell. The inspector calls it on top of that code's stack. */
export function terminateRunning(
  evaluator: Evaluator,
  places: readonly string[],
  terminate: () => void,
): void {
  const cell = evaluator.running;
  setImmediate(() => {
    if (cell !== undefined) evaluator.abandon(cell, places);
  });
  clearAsyncStack();
  terminate();
}

/** Thrown and caught only in this folder. */
export const terminationMarker = new Error("terminated");

/**
 * Node keeps a stack of async ids. A terminated callback doesn't pop its id, and Node aborts when it notices. Handling an
 * uncaught exception clears the stack, so we raise one, which our handler ignores.
 */
function clearAsyncStack(): void {
  const { _fatalException: handle } = process as {
    _fatalException?: (error: Error, fromPromise: boolean) => boolean;
  };
  handle?.call(process, terminationMarker, false);
}
