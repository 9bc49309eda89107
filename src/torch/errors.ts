// Errors of the engine. A native failure arrives here as a description (native/core/errors.h) and leaves as a TorchError:
// the one place where native exceptions become JavaScript's.

/** What a native function returns when it failed. */
export interface NativeFailure {
  kind: "torch" | "memory" | "stale" | "native";
  message: string;
  operation: string;
  arguments: string;
  argument?: string;
  handle?: number;
}

/** An operation of libtorch that failed, with PyTorch's message, the operator, and its arguments' dtypes and shapes. */
export class TorchError extends Error {
  override name = "TorchError";
  /** For example `aten::mm`. */
  readonly operation: string;
  /** For example `self: Float[2, 3], mat2: Float[7, 5]`. */
  readonly arguments: string;

  constructor(message: string, operation: string, args = "") {
    super(message);
    this.operation = operation;
    this.arguments = args;
  }
}

/** An allocation that didn't fit: on a device, or on the CPU. */
export class OutOfMemoryError extends TorchError {
  override name = "OutOfMemoryError";
}

/** An argument of the wrong type or form, found before the call. */
export class ArgumentError extends TypeError {
  override name = "ArgumentError";
}

const disposedAt = new Map<number, string>();
let debug = false;

/**
 * In debug mode every disposal remembers where it happened, and using a disposed tensor shows it. Slow: for finding
 * a bug, not for training.
 */
export function setDebugMode(on: boolean): void {
  debug = on;
  if (!on) disposedAt.clear();
}

export function isDebugMode(): boolean {
  return debug;
}

/** Remembers, in debug mode, who disposed of a handle. */
export function noteDisposal(handle: number): void {
  if (!debug) return;
  const stack = (new Error("disposed").stack ?? "").split("\n").slice(3).join("\n");
  disposedAt.set(handle, stack);
}

export function raise(failure: NativeFailure): never {
  const context = failure.arguments ? `${failure.operation}(${failure.arguments})` : failure.operation;
  if (failure.kind === "stale") {
    const where = disposedAt.get(failure.handle ?? 0);
    const hint = where
      ? `It was disposed of here:\n${where}`
      : debug
        ? "It was not disposed of since debug mode was turned on."
        : "A tensor ends with its scope unless keep(tensor) moves it out. setDebugMode(true) shows where it was disposed of.";
    throw new TorchError(
      `${failure.operation}: argument '${failure.argument ?? "tensor"}' is a tensor that was disposed of. ${hint}`,
      failure.operation,
      failure.arguments,
    );
  }
  const ErrorType = failure.kind === "memory" ? OutOfMemoryError : TorchError;
  throw new ErrorType(`${failure.message}\n  in ${context}`, failure.operation, failure.arguments);
}
