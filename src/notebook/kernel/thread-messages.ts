// What the two threads of a kernel tell each other: the server thread, which owns the sockets, and the main thread, where
// cells run. The only thing that both know.
import type { Content } from "./message.ts";

export interface ExecuteJob {
  readonly type: "execute";
  /** Counts the jobs; outputs name it, so that they reach the cell that they came from. */
  readonly job: number;
  /** The name of the cell in stack traces. */
  readonly url: string;
  readonly code: string;
  readonly js: string;
  readonly map: string;
  readonly names: readonly string[];
  readonly executionCount: number;
  /** Nothing of the value is shown. */
  readonly silent: boolean;
  /** Name to JavaScript: evaluated afterwards, for the reply. */
  readonly expressions: Readonly<Record<string, string>>;
}

export type ToMain =
  | ExecuteJob
  /** End the process in good order. */
  | { readonly type: "exit" };

export interface CellError {
  readonly ename: string;
  readonly evalue: string;
  readonly traceback: readonly string[];
}

export type FromMain =
  /** Something to publish for a job. */
  | { readonly type: "output"; readonly job: number; readonly messageType: string; readonly content: Content }
  | {
      readonly type: "done";
      readonly job: number;
      readonly error: CellError | undefined;
      readonly expressions: Content;
      /** text/plain of the result, for the history. */
      readonly result: string | undefined;
    }
  /** The event loop turned: the main thread is not stuck in a cell's code. */
  | { readonly type: "turned"; readonly interrupt: number }
  /** The process was asked to interrupt (SIGINT). */
  | { readonly type: "interrupted" };

/** What the server calls on the main thread through the inspector, which also gets through to a busy thread. */
export interface MainThreadControl {
  /** First wish: handlers, or an error in what the cell awaits. Answers whether a handler takes care of it. */
  interrupt: (interrupt: number) => "handled" | "asked" | "idle";
  /** The cell does not yield: ends what is running now, wherever it is. */
  terminate: () => void;
  /** Ends the process, also out of a cell's loop. */
  exit: () => void;
}

export const controlName = "torchforge.kernel";
