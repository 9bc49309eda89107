// Errors of the engine. A native failure arrives here as a description (native/core/errors.h) and leaves as a TorchError:
// the one place where native exceptions become JavaScript's.

import { camelCase } from "./operators/names.ts";

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

// In debug mode: who disposed of each handle. The oldest are forgotten, so that a long run doesn't fill the memory.
const disposedAt = new Map<number, string>();
const mostRemembered = 200_000;
let debug = false;

/**
 * In debug mode every disposal remembers where it happened, and using a disposed tensor shows it. Slow: for finding
 * a bug, not for training.
 *
 * @example
 * ```ts
 * import { setDebugMode } from "torchforge/torch";
 *
 * setDebugMode(true); // a use of a disposed tensor then says where it was disposed of
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

/** Remembers, in debug mode, who disposed of the handles. */
export function noteDisposal(handles: readonly number[]): void {
  if (!debug) return;
  // Without the lines within this folder: what called it is what the user wants to see.
  const lines = (new Error("disposed").stack ?? "").split("\n").slice(1);
  const outside = lines.findIndex(
    (line) => !/[\\/]torch[\\/](scope|errors|tensor[\\/]base)\.[tj]s:/.test(line),
  );
  const stack = lines.slice(Math.max(outside, 0)).join("\n");
  for (const handle of handles) if (!disposedAt.has(handle)) disposedAt.set(handle, stack);
  for (const oldest of disposedAt.keys()) {
    if (disposedAt.size <= mostRemembered) break;
    disposedAt.delete(oldest);
  }
}

/** `aten::add_.Tensor` is `add_`, as TypeScript calls it; other namespaces keep their names. */
function publicName(operation: string): string {
  return operation.startsWith("aten::")
    ? camelCase(operation.slice("aten::".length).split(".")[0]!)
    : operation;
}

/** Where an operator has no kernel libtorch lists all backends and its build's paths: the first sentence says it. */
function withoutBackends(message: string): string {
  const [, operator, backend] =
    /^Could not run '(.*?)' with arguments from the '(\w+)' backend\./.exec(message) ?? [];
  if (operator === undefined) return message;
  return `Could not run ${operator} with tensors of the ${backend} backend: this libtorch has no kernel for it (\`npx torchforge doctor\` shows its devices)`;
}

export function raise(failure: NativeFailure): never {
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
