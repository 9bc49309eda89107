// Errors of libtorch. This is the one place where a native failure (native/core/errors.h) becomes a JavaScript exception.

import { UserError } from "../util/index.ts";
import { camelCase } from "./operators/names.ts";

/** What a native function returns when it fails. */
export interface NativeFailure {
  kind: "torch" | "memory" | "stale" | "native" | "peer";
  message: string;
  operation: string;
  arguments: string;
  argument?: string;
  handle?: number;
}

/** A failed operation of libtorch, with PyTorch's message, the operator, and its arguments' dtypes and shapes. */
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

/** An allocation that exceeds a device's memory, or the CPU limit. */
export class OutOfMemoryError extends TorchError {
  override name = "OutOfMemoryError";
}

/**
 * A collective within an operator, or its backward pass, that failed because another rank didn't come or is gone. No bug, so that
 * it is shown without its stack. Calls of torchforge/comm throw the class CommError, which says more.
 */
class PeerError extends UserError {
  override name = "CommError";
}

/** An argument of the wrong type or form, detected before the call. */
export class ArgumentError extends TypeError {
  override name = "ArgumentError";
}

// In debug mode: the stack of each handle's disposal. The oldest are dropped, so that a long run doesn't fill the memory.
const disposedAt = new Map<number, string>();
const maxRecorded = 200_000;
let debug = false;

/**
 * In debug mode every disposal records its stack, and the error for using a disposed tensor shows it. Slow: for debugging, not
 * for training.
 *
 * @example
 * ```ts
 * import { setDebugMode } from "torchforge/torch";
 *
 * setDebugMode(true); // the error for using a disposed tensor now shows where it was disposed
 * setDebugMode(false);
 * ```
 */
export function setDebugMode(on: boolean): void {
  debug = on;
  if (!on) disposedAt.clear();
}

export function isDebugMode(): boolean {
  return debug;
}

/** In debug mode, records the stack that disposed the handles. */
export function recordDisposal(handles: readonly number[]): void {
  if (!debug) return;
  // Without the frames of this folder: the user wants to see the caller.
  const lines = (new Error("disposed").stack ?? "").split("\n").slice(1);
  const outside = lines.findIndex(
    (line) => !/[\\/]torch[\\/](scope|errors|tensor[\\/]base)\.[tj]s:/.test(line),
  );
  const stack = lines.slice(Math.max(outside, 0)).join("\n");
  for (const handle of handles) if (!disposedAt.has(handle)) disposedAt.set(handle, stack);
  for (const oldest of disposedAt.keys()) {
    if (disposedAt.size <= maxRecorded) break;
    disposedAt.delete(oldest);
  }
}

/** `aten::add_.Tensor` is `add_` in TypeScript; other namespaces keep their names. */
function publicName(operation: string): string {
  return operation.startsWith("aten::")
    ? camelCase(operation.slice("aten::".length).split(".")[0]!)
    : operation;
}

/** For a missing kernel, libtorch lists all backends and its build's paths; the first sentence suffices. */
function withoutBackends(message: string): string {
  const [, operator, backend] =
    /^Could not run '(.*?)' with arguments from the '(\w+)' backend\./.exec(message) ?? [];
  if (operator === undefined) return message;
  return `Could not run ${operator} with tensors of the ${backend} backend: this libtorch has no kernel for it (\`npx torchforge doctor\` shows its devices)`;
}

export function raiseNative(failure: NativeFailure): never {
  const name = publicName(failure.operation);
  const context = failure.arguments ? `${failure.operation}(${failure.arguments})` : failure.operation;
  if (failure.kind === "stale" && failure.handle === 0) {
    throw new TorchError(
      `${name}: argument '${failure.argument ?? "tensor"}' is an undefined tensor: the operator that returned it did not compute it`,
      failure.operation,
      failure.arguments,
    );
  }
  if (failure.kind === "stale") {
    const where = disposedAt.get(failure.handle ?? 0);
    const hint = where
      ? `It was disposed of here:\n${where}`
      : debug
        ? "It was not disposed of since debug mode was turned on."
        : "A tensor ends with its scope unless keep(tensor) moves it out. setDebugMode(true) shows where it was disposed of.";
    throw new TorchError(
      `${name}: argument '${failure.argument ?? "tensor"}' is a tensor that was disposed of. ${hint}`,
      failure.operation,
      failure.arguments,
    );
  }
  if (failure.kind === "peer") throw new PeerError(failure.message);
  if (failure.kind !== "memory")
    throw new TorchError(
      `${withoutBackends(failure.message)}\n  in ${context}`,
      failure.operation,
      failure.arguments,
    );
  throw new OutOfMemoryError(
    `${failure.message}\n  in ${context}\n  memoryStats() shows what tensors hold; those made outside a scope() wait for the garbage collector`,
    failure.operation,
    failure.arguments,
  );
}
