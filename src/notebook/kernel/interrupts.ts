// How an interrupt reaches a running cell: as an error in what it awaits, so that `finally` runs and variables stay; to the
// handlers that code has registered instead (training finishes its step and saves); and never twice for one wish.
import type { InterruptHandler } from "../host.ts";

export class Interrupted extends Error {
  override name = "Interrupted";

  /** @param places frames of a stack, the innermost first: where the cell was */
  constructor(places: readonly string[]) {
    super("the cell was interrupted; its variables are as it left them");
    this.stack = [`${this.name}: ${this.message}`, ...places.map((place) => `    at ${place}`)].join("\n");
  }
}

/** What a cell awaits at the moment. */
interface Wait<Cell> {
  readonly cell: Cell;
  readonly place: string;
  readonly reject: (error: Error) => void;
}

export interface Interruptible {
  /** Nothing of the cell goes on: what it awaits never comes. */
  abandoned: boolean;
  /** An interrupt that found nothing awaited: the next await gets it. */
  pending: boolean;
  /** What it awaited has been rejected once. */
  rejected: boolean;
  /** Handlers have been told once. */
  told: boolean;
}

export class Interrupts<Cell extends Interruptible> {
  readonly #current: () => Cell | undefined;
  readonly #waits = new Set<Wait<Cell>>();
  readonly #handlers = new Map<InterruptHandler, Cell | undefined>();

  /** @param current the cell in whose asynchronous context we are */
  constructor(current: () => Cell | undefined) {
    this.#current = current;
  }

  onInterrupt(handler: InterruptHandler): Disposable {
    this.#handlers.set(handler, this.#current());
    return { [Symbol.dispose]: () => void this.#handlers.delete(handler) };
  }

  /** The handlers that were registered by this cell, or by none. */
  handlersOf(cell: Cell | undefined): InterruptHandler[] {
    return [...this.#handlers]
      .filter(([, owner]) => cell === undefined || owner === undefined || owner === cell)
      .map(([handler]) => handler);
  }

  /** An error to everything that the cell awaits, or to its next await. */
  reject(cell: Cell): void {
    const own = [...this.#waits].filter((wait) => wait.cell === cell);
    cell.pending = own.length === 0;
    cell.rejected = true;
    for (const wait of own) {
      this.#waits.delete(wait);
      wait.reject(new Interrupted([wait.place]));
    }
  }

  /** What `await value` in a cell awaits: the value, or an interrupt. `place` goes into the stack of an error. */
  wait(value: unknown, place: string): unknown {
    const cell = this.#current();
    if (cell === undefined) return value;
    if (cell.abandoned) return never();
    if (cell.pending) {
      cell.pending = false;
      return Promise.reject(new Interrupted([place]));
    }
    if (!isThenable(value)) return value;
    return new Promise((resolve, reject) => {
      const wait: Wait<Cell> = { cell, place, reject };
      this.#waits.add(wait);
      const settle = (act: () => void): void => {
        this.#waits.delete(wait);
        if (!cell.abandoned) act();
      };
      Promise.resolve(value).then(
        (result) => settle(() => resolve(result)),
        (error: unknown) => settle(() => reject(located(error, place))),
      );
    });
  }

  /** What `for await (const x of iterable)` in a cell goes through. */
  each(iterable: unknown, place: string): AsyncIterable<unknown> {
    const source = iterable as Partial<AsyncIterable<unknown> & Iterable<unknown>> | null | undefined;
    const iterator = source?.[Symbol.asyncIterator]?.() ?? source?.[Symbol.iterator]?.();
    if (iterator === undefined) throw new TypeError("the value of `for await` is not async iterable");
    const synchronous = source?.[Symbol.asyncIterator] === undefined;
    return {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          try {
            const result = (await this.wait(iterator.next(), place)) as IteratorResult<unknown>;
            if (!synchronous || result.done === true) return result;
            return { done: false, value: await this.wait(result.value, place) };
          } catch (error) {
            if (error instanceof Interrupted) void Promise.resolve(iterator.return?.()).catch(() => {});
            throw error;
          }
        },
        return: async (value: unknown) => (await iterator.return?.()) ?? { done: true, value },
      }),
    };
  }
}

function isThenable(value: unknown): boolean {
  return (
    value !== null &&
    (typeof value === "object" || typeof value === "function") &&
    typeof (value as { then?: unknown }).then === "function"
  );
}

function never(): Promise<never> {
  return new Promise(() => {});
}

/** Awaiting through the kernel breaks V8's chain of asynchronous frames: the cell's own frame is added again. */
function located(error: unknown, place: string): unknown {
  if (error instanceof Error && typeof error.stack === "string") {
    if (!error.stack.includes(place)) {
      try {
        error.stack += `\n    at async ${place}`;
      } catch {
        // a frozen error keeps its own
      }
    }
  }
  return error;
}
