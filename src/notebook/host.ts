// The interface that a running kernel offers to code in its process, under a global symbol, so that code that may or may not
// run in a notebook (training, the actors) needn't import this folder. The kernel holds the implementation.

/**
 * Called when the user interrupts the cell. At the first interrupt it replaces the error that the cell's await would throw; at
 * the second it is called too.
 */
export type InterruptHandler = () => void;

export interface DisplayMessage {
  /** Media type to data. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** Identifies the output, so that it can be replaced. */
  readonly displayId?: string | undefined;
  /** Replaces the output with this displayId, in whichever cell it is. */
  readonly update?: boolean;
}

export interface NotebookHost {
  /** Shows a bundle below the cell that the calling code belongs to. */
  readonly display: (message: DisplayMessage) => void;
  /** Makes the cell wait for this before it ends: an output that is still being computed. */
  readonly keepOpen: (work: Promise<unknown>) => void;
  /** Clears the cell's output; with `wait` only when the next output comes. */
  readonly clearOutput: (wait: boolean) => void;
  /** Until disposed, an interrupt calls the handler instead of ending the cell. */
  readonly onInterrupt: (handler: InterruptHandler) => Disposable;
}

export const hostSymbol: unique symbol = Symbol.for("torchforge.notebook") as never;

/** The kernel's host object; undefined outside of a notebook. */
export function notebookHost(): NotebookHost | undefined {
  return (globalThis as { [hostSymbol]?: NotebookHost })[hostSymbol];
}
