// Delivers interrupts to a running cell: to registered handlers first (training finishes its step and saves), else as an error
// thrown by what the cell awaits, so that `finally` blocks run and variables stay. One interrupt is delivered only once. A cell
// whose handler took it shows its result and still ends as interrupted, so that cells queued after it don't run.
import type { InterruptHandler } from "../../host.ts";

export class Interrupted extends Error {
  override name = "Interrupted";

  /** @param places stack frames, innermost first: where the cell was */
  constructor(
    places: readonly string[],
    message = "the cell was interrupted; its variables are as it left them",
  ) {
    super(message);
    this.stack = [`${this.name}: ${this.message}`, ...places.map((place) => `    at ${place}`)].join("\n");
  }
}

/** A pending await of a cell. */
interface Wait<Cell> {
  readonly cell: Cell;
  readonly place: string;
  readonly reject: (error: Error) => void;
}

export interface Interruptible {
  /** The cell was given up: its awaits never resolve. */
  abandoned: boolean;
  /** An interrupt came while nothing was awaited; the next await throws it. */
  pending: boolean;
  /** An await has been rejected once. */
  rejected: boolean;
  /** Handlers have been called once. */
  handlersCalled: boolean;
  /** A handler took the interrupt, and what it belongs to ends by itself. */
  handled: boolean;
}

export class Interrupts<Cell extends Interruptible> {
  readonly #current: () => Cell | undefined;
  readonly #waits = new Set<Wait<Cell>>();
  readonly #handlers = new Map<InterruptHandler, Cell | undefined>();

  /** @param current returns the cell of the current asynchronous context */
  constructor(current: () => Cell | undefined) {
    this.#current = current;
  }

  onInterrupt(handler: InterruptHandler): Disposable {
    this.#handlers.set(handler, this.#current());
    return { [Symbol.dispose]: () => void this.#handlers.delete(handler) };
  }

  /** The handlers registered by this cell, or outside of any cell. */
  handlersOf(cell: Cell | undefined): InterruptHandler[] {
    return [...this.#handlers]
      .filter(([, owner]) => cell === undefined || owner === undefined || owner === cell)
      .map(([handler]) => handler);
  }

  /** Rejects everything that the cell awaits, or else its next await. */
  reject(cell: Cell): void {
    const waitsOfCell = [...this.#waits].filter((wait) => wait.cell === cell);
    cell.pending = waitsOfCell.length === 0;
    cell.rejected = true;
    for (const wait of waitsOfCell) {
      this.#waits.delete(wait);
      wait.reject(new Interrupted([wait.place]));
    }
  }

  /** A cell's `await value` awaits this: the value, or an interrupt. `place` is added to the stack of an error. */
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
        (error: unknown) => settle(() => reject(withCellFrame(error, place))),
      );
    });
  }

  /** A cell's `for await (const x of iterable)` iterates over this. */
  iterate(iterable: unknown, place: string): AsyncIterable<unknown> {
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

/** Awaiting through the kernel breaks V8's chain of asynchronous frames, so the cell's frame is added again. */
function withCellFrame(error: unknown, place: string): unknown {
  if (error instanceof Error && typeof error.stack === "string") {
    if (!error.stack.includes(place)) {
      try {
        error.stack += `\n    at async ${place}`;
      } catch {
        // a frozen error
      }
    }
  }
  return error;
}
