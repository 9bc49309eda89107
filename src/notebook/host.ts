// What a running kernel offers to code in its process, found through a global symbol: code that only may run in a notebook
// (training, the actors) needs no import of this folder. Types and the symbol's name; the kernel holds the implementation.

/**
 * Called when the user interrupts the cell, at first in place of an error in what it awaits. A second interrupt calls it again,
 * and gives the error.
 */
export type InterruptHandler = () => void;

export interface DisplayMessage {
  /** Media type to data. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** Names the output, so that it can be replaced. */
  readonly displayId?: string | undefined;
  /** Replaces what is shown under displayId, wherever that is. */
  readonly update?: boolean;
}

export interface NotebookHost {
  /** Shows a bundle below the cell that is running, or that the caller was started by. */
  readonly display: (message: DisplayMessage) => void;
  /** The cell waits for this before it ends: an output that is still being made. */
  readonly keepOpen: (work: Promise<unknown>) => void;
  /** Empties the cell's output; with `wait` only when the next output comes. */
  readonly clearOutput: (wait: boolean) => void;
  /** Until it is disposed, an interrupt calls the handler instead of ending the cell. */
  readonly onInterrupt: (handler: InterruptHandler) => Disposable;
}

export const hostSymbol: unique symbol = Symbol.for("torchforge.notebook") as never;

/** The kernel that this process is; undefined outside of a notebook. */
export function notebookHost(): NotebookHost | undefined {
  return (globalThis as { [hostSymbol]?: NotebookHost })[hostSymbol];
}
