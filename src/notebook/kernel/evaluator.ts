// Runs cells on the main thread: one at a time, each in an asynchronous context of its own, so that what it prints later
// still reaches it. It knows neither sockets nor TypeScript; what comes out goes through `post`.
import { AsyncLocalStorage } from "node:async_hooks";
import process from "node:process";
import vm from "node:vm";

import { describeCompileError, describeError } from "./cell-error.ts";
import { bundleOf, type MimeBundle } from "./display-bundle.ts";
import { Importer } from "./importer.ts";
import { Interrupted, Interrupts, type Interruptible } from "./interrupts.ts";
import type { Content } from "./message.ts";
import { rememberCell } from "./stack-trace.ts";
import type { CellError, ExecuteJob, FromMain } from "./thread-messages.ts";
import { cellApiName } from "./transpile.ts";

/** What a transpiled cell calls; see transpile.ts. */
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

/** The value of a last expression comes in an array, so that a promise is not awaited unless the cell says so. */
type CellBody = (api: CellApi) => Promise<readonly [unknown] | undefined>;

export interface Cell extends Interruptible {
  readonly request: ExecuteJob;
  /** Outputs that are still being made. */
  readonly open: Set<Promise<unknown>>;
  done: boolean;
}

export class Evaluator {
  readonly #post: (message: FromMain) => void;
  readonly #context = new AsyncLocalStorage<Cell>();
  readonly #declared = new Set<string>();
  readonly #api: CellApi;
  readonly interrupts: Interrupts<Cell>;
  #running: Cell | undefined;
  #lastJob = 0;

  constructor(folder: string, post: (message: FromMain) => void) {
    this.#post = post;
    this.interrupts = new Interrupts(() => this.#context.getStore());
    const importer = new Importer(folder);
    this.#api = {
      wait: (value, place) => this.interrupts.wait(value, place),
      each: (iterable, place) => this.interrupts.each(iterable, place),
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

  /** The cell that the calling code belongs to; output of no cell goes to the last one. */
  get job(): number {
    return this.#context.getStore()?.request.job ?? this.#running?.request.job ?? this.#lastJob;
  }

  /** The cell ends only when this has. */
  keepOpen(work: Promise<unknown>): void {
    const open = this.#context.getStore()?.open;
    if (open === undefined) return;
    open.add(work);
    const close = (): void => void open.delete(work);
    work.then(close, close);
  }

  /** Something to publish for the cell that the calling code belongs to. */
  publish(messageType: string, content: Content): void {
    this.#send(this.job, messageType, content);
  }

  execute(request: ExecuteJob): void {
    const cell: Cell = {
      request,
      open: new Set(),
      done: false,
      abandoned: false,
      pending: false,
      rejected: false,
      told: false,
    };
    this.#running = cell;
    this.#lastJob = request.job;
    rememberCell(request.url, request);
    let body: CellBody;
    try {
      body = this.#compile(request);
    } catch (error) {
      const described =
        error instanceof SyntaxError ? describeCompileError(error, request.code) : describeError(error);
      return this.#finish(cell, described);
    }
    // Nothing is left to do here when the body's synchronous part is terminated: that unwinds this frame too.
    const ended = this.#context.run(cell, () => body(this.#api));
    ended.then(
      (last) => this.#succeed(cell, last?.[0]),
      (error: unknown) => this.fail(cell, error),
    );
  }

  /** Ends the cell with an error, whatever its code still does. */
  fail(cell: Cell, error: unknown): void {
    this.#finish(cell, describeError(error));
  }

  /** Ends a cell that didn't heed an interrupt; what is left of it gets stuck at its next await. */
  abandon(cell: Cell, places: readonly string[] = []): void {
    cell.abandoned = true;
    this.fail(cell, new Interrupted(places));
  }

  #compile({ js, url, names }: ExecuteJob): CellBody {
    const script = new vm.Script(`(async (${cellApiName}) => { "use strict";\n${js}\n})`, {
      filename: url,
      lineOffset: -1,
    });
    const fresh = names.filter((name) => !this.#declared.has(name));
    if (fresh.length > 0) {
      new vm.Script(`let ${fresh.join(", ")};`, { filename: url }).runInThisContext();
      for (const name of fresh) this.#declared.add(name);
    }
    return script.runInThisContext() as CellBody;
  }

  async #succeed(cell: Cell, value: unknown): Promise<void> {
    if (cell.done) return;
    try {
      while (cell.open.size > 0) await Promise.allSettled(cell.open);
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
          result = String(data["text/plain"]);
        }
      }
      this.#finish(cell, undefined, this.#evaluateAll(cell.request), result);
    } catch (error) {
      this.fail(cell, error);
    }
  }

  #evaluateAll({ expressions, url }: ExecuteJob): Content {
    const values: Content = {};
    for (const [name, js] of Object.entries(expressions)) {
      try {
        const data = bundleOf(new vm.Script(js, { filename: url }).runInThisContext());
        values[name] = { status: "ok", data, metadata: {} };
      } catch (error) {
        values[name] = { status: "error", ...describeError(error) };
      }
    }
    return values;
  }

  #finish(cell: Cell, error: CellError | undefined, expressions: Content = {}, result?: string): void {
    if (cell.done) return;
    cell.done = true;
    if (this.#running === cell) this.#running = undefined;
    this.#post({ type: "done", job: cell.request.job, error, expressions, result });
  }

  #send(job: number, messageType: string, content: Content): void {
    try {
      this.#post({ type: "output", job, messageType, content });
    } catch {
      // A bundle may hold anything; what can't leave the thread is left out as JSON leaves it out.
      const plain = JSON.parse(JSON.stringify(content)) as Content;
      this.#post({ type: "output", job, messageType, content: plain });
    }
  }
}

/** Ends whatever JavaScript is running, and the running cell with it. Called on top of that code, by the inspector. */
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

/** Thrown and caught by ourselves only. */
export const terminationMarker = new Error("terminated");

/**
 * Node keeps a stack of asynchronous ids that a terminated callback doesn't pop, and aborts when it finds it so. It clears it
 * when it has handled an uncaught exception: so it gets one, which our own handler ignores.
 */
function clearAsyncStack(): void {
  const { _fatalException: handle } = process as {
    _fatalException?: (error: Error, fromPromise: boolean) => boolean;
  };
  handle?.call(process, terminationMarker, false);
}
