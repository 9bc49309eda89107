// Ownership of tensors. A tensor ends when its scope ends, when it is disposed of, or when it is garbage collected,
// whichever is first. This file holds the stack of scopes and the finalizer; it knows handles, not what they mean.
import { addon, check, f64 } from "./addon.ts";
import { isDebugMode, noteDisposal } from "./errors.ts";

/** What this file needs of a tensor. */
export interface Owned {
  readonly handle: number;
}

const finalizers = new FinalizationRegistry<number>((handle) => releaseOne(handle));

/**
 * Ends the tensors made inside it, but for those that `keep` moved out. Made by `scope()`, ended by `using`.
 * Scopes end in the reverse order of their beginning; one that ends early takes the scopes begun inside it along.
 */
export class Scope implements Disposable {
  readonly #parent: Scope | undefined;
  #handles: number[] = [];
  #kept: Set<number> | undefined;
  #ended = false;

  constructor(parent: Scope | undefined) {
    this.#parent = parent;
  }

  /** @internal */
  get parent(): Scope | undefined {
    return this.#parent;
  }

  /** @internal */
  add(handle: number): void {
    this.#handles.push(handle);
  }

  /**
   * Moves a tensor out of this scope, into the one around it (or to the garbage collector's care where there is none).
   * Returns the tensor.
   */
  keep<T extends Owned>(tensor: T): T {
    if (this.#ended) return tensor;
    (this.#kept ??= new Set()).add(tensor.handle);
    if (this.#parent) this.#parent.add(tensor.handle);
    else finalizers.register(tensor, tensor.handle);
    return tensor;
  }

  /** Ends the scope now. A second call does nothing. */
  [Symbol.dispose](): void {
    if (this.#ended) return;
    for (let open = current; open !== undefined && open !== this; open = open.parent) open.#release();
    this.#release();
    current = this.#parent;
  }

  #release(): void {
    if (this.#ended) return;
    this.#ended = true;
    const kept = this.#kept;
    releaseMany(kept === undefined ? this.#handles : this.#handles.filter((handle) => !kept.has(handle)));
    this.#handles = [];
  }
}

let current: Scope | undefined;

/**
 * Begins a scope. Tensors made until it ends are released at its end.
 *
 * ```ts
 * using s = scope();
 * const loss = model(x).sum();
 * return s.keep(loss);
 * ```
 */
export function scope(): Scope {
  current = new Scope(current);
  return current;
}

/** Moves a tensor out of the innermost scope; does nothing where there is none. Returns the tensor. */
export function keep<T extends Owned>(tensor: T): T {
  return current === undefined ? tensor : current.keep(tensor);
}

/** A new tensor belongs to the innermost scope, or to the garbage collector. @internal */
export function own(tensor: Owned): void {
  if (current !== undefined) current.add(tensor.handle);
  else finalizers.register(tensor, tensor.handle);
}

/** Releases a handle; one that isn't alive any more is passed over. @internal */
export function releaseOne(handle: number): void {
  f64[0] = 1;
  f64[1] = handle;
  check(addon().release());
}

function releaseMany(handles: readonly number[]): void {
  const native = addon();
  if (isDebugMode()) for (const handle of handles) noteDisposal(handle);
  const room = f64.length - 1;
  for (let from = 0; from < handles.length; from += room) {
    const n = Math.min(room, handles.length - from);
    f64[0] = n;
    for (let i = 0; i < n; i++) f64[i + 1] = handles[from + i]!;
    check(native.release());
  }
}
