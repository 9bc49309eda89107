// The messages between a kernel's two threads: the server thread, which owns the sockets, and the main thread, where cells
// run. This is all that the two share.
import type { Content } from "./protocol/message.ts";

export interface ExecuteJob {
  readonly type: "execute";
  /** Id of the job. Outputs carry it, so that they are attributed to their cell. */
  readonly job: number;
  /** The cell's name in stack traces. */
  readonly url: string;
  readonly code: string;
  readonly js: string;
  readonly map: string;
  readonly names: readonly string[];
  readonly executionCount: number;
  /** The value isn't shown. */
  readonly silent: boolean;
  /** Name to JavaScript, evaluated after the cell for the reply. */
  readonly expressions: Readonly<Record<string, string>>;
}

export type MessageToMain =
  | ExecuteJob
  /** Exit the process gracefully. */
  | { readonly type: "exit" };

export interface CellError {
  readonly ename: string;
  readonly evalue: string;
  readonly traceback: readonly string[];
}

export type MessageFromMain =
  /** An output of a job. */
  | { readonly type: "output"; readonly job: number; readonly messageType: string; readonly content: Content }
  | {
      readonly type: "done";
      readonly job: number;
      readonly error: CellError | undefined;
      readonly expressions: Content;
      /** The result's text/plain, for the history. */
      readonly result: string | undefined;
    }
  /** The event loop has turned, so the main thread isn't stuck in a cell's code. */
  | { readonly type: "turned"; readonly interrupt: number }
  /** The process received SIGINT. */
  | { readonly type: "interrupted" };

/** Functions that the server calls on the main thread through the inspector, which works even if that thread is busy. */
export interface MainThreadControl {
  /** Calls handlers, or rejects what the cell awaits. "handled": a handler takes care of it. */
  interrupt: (interrupt: number) => "handled" | "asked" | "idle";
  /** Terminates the running JavaScript, for a cell that doesn't yield. */
  terminate: () => void;
  /** Exits the process, even during a cell's loop. */
  exit: () => void;
}

export const controlName = "torchforge.kernel";
