// Ownership of tensors. A tensor is released when its scope ends, when it is disposed, or when it is garbage-collected,
// whichever is first. This file holds the stack of scopes and the finalizer; to it a tensor is only a handle.
import { addon, check, control, f64, isLoaded } from "./addon/addon.ts";
import { isDebugMode, recordDisposal } from "./errors.ts";

/** The part of a tensor that this file needs. */
export interface OwnedTensor {
  readonly handle: number;
  /** The scope that releases the tensor; undefined: the garbage collector does. */
  owner: Scope | undefined;
}

// Handles of garbage-collected tensors, which one native call releases in a batch.
let collected: number[] = [];
const finalizers = new FinalizationRegistry<number>((handle) => {
  if (collected.length === 0) setImmediate(releaseCollected);
  collected.push(handle);
});

function releaseCollected(): void {
  const handles = collected;
  collected = [];
  releaseHandles(handles);
}

// Counts the turns of the event loop (or microtasks) in which scopes were opened. Scopes with the same number belong to the
// same synchronous code.
let turn = 0;
let isNewTurn = true;

/**
 * Releases the tensors created inside it, except those that `keep` moved out. Opened by `scope()`, ended by `using`.
 *
 * Scopes end in reverse order; a scope that ends early also ends the scopes opened inside it. A scope may stay open across
 * `await` if no other asynchronous code creates tensors or scopes meanwhile: a tensor belongs to the innermost open scope,
 * whichever code creates it. If the scopes of two asynchronous flows interleave, each ends only its own tensors, and the
 * process emits a warning (TORCHFORGE_SCOPES).
 */
export class Scope implements Disposable {
  readonly #parent: Scope | undefined;
  readonly #turn: number;
  #handles: number[] = [];
  #moved: Set<number> | undefined;
  #ended = false;

  constructor(parent: Scope | undefined) {
    this.#parent = parent;
    if (isNewTurn) {
      turn++;
      isNewTurn = false;
      queueMicrotask(() => (isNewTurn = true));
    }
    this.#turn = turn;
  }

  /** @internal */
  add(handle: number): void {
    this.#handles.push(handle);
  }

  /**
   * Moves a tensor of this scope (or of one inside it) to the enclosing scope; without one, the garbage collector will release
   * it. Does nothing to a tensor that isn't of this scope. Returns the tensor.
   */
  keep<T extends OwnedTensor>(tensor: T): T {
    let inside = tensor.owner;
    while (inside !== undefined && inside !== this) inside = inside.#parent;
    if (inside === undefined) return tensor;
    // Every scope from the owner up to this one has the handle in its list.
    for (let from = tensor.owner; from !== undefined; from = from === this ? undefined : from.#parent)
      (from.#moved ??= new Set()).add(tensor.handle);
    setOwner(tensor, this.#openParent());
    return tensor;
  }

  #openParent(): Scope | undefined {
    let parent = this.#parent;
    while (parent !== undefined && parent.#ended) parent = parent.#parent;
    return parent;
  }

  /** Ends the scope. Further calls do nothing. */
  [Symbol.dispose](): void {
    if (this.#ended) return;
    for (let open = current; open !== undefined && open !== this; open = open.#parent) {
      if (open.#turn === this.#turn) open.#release();
      else if (!open.#ended) warnAboutInterleaving();
    }
    this.#release();
    while (current !== undefined && current.#ended) current = current.#parent;
    if (current === undefined && isLoaded()) control[0] = 0;
  }

  #release(): void {
    if (this.#ended) return;
    this.#ended = true;
    const moved = this.#moved;
    const handles = this.#handles;
    this.#handles = [];
    if (handles.length === 0) return;
    releaseHandles(moved === undefined ? handles : handles.filter((handle) => !moved.has(handle)));
  }
}

let warned = false;
function warnAboutInterleaving(): void {
  if (warned) return;
  warned = true;
  process.emitWarning(
    "A scope ended while a scope that began later, in another turn of the event loop, was still open: two asynchronous " +
      "flows made tensors at the same time, so some may belong to the other flow's scope and end with it. " +
      "Keep scopes within synchronous code, or let only one flow at a time work with tensors.",
    { code: "TORCHFORGE_SCOPES" },
  );
}

let current: Scope | undefined;

/**
 * Opens a scope. Tensors created until it ends are released at its end.
 *
 * @example
 * ```ts
 * import { randn, scope, type Tensor } from "torchforge/torch";
 *
 * function norm(x: Tensor): Tensor {
 *   using s = scope();
 *   return s.keep(x.pow(2).sum().sqrt()); // pow and sum end with the scope
 * }
 * console.log(norm(randn([3])).item());
 * ```
 */
export function scope(): Scope {
  if (current === undefined) {
    addon();
    control[0] = 1;
  }
  current = new Scope(current);
  return current;
}

/**
 * Moves a tensor out of the innermost scope, if there is one. Returns the tensor.
 *
 * @example
 * ```ts
 * import { keep, ones, scope } from "torchforge/torch";
 *
 * function mean() {
 *   using _ = scope();
 *   return keep(ones([4]).mul(2).mean()); // the rest ends here
 * }
 * console.log(mean().item()); // 2
 * ```
 */
export function keep<T extends OwnedTensor>(tensor: T): T {
  return current === undefined ? tensor : current.keep(tensor);
}

/** Takes a tensor out of all scopes: it then lives until its `dispose`. Returns the tensor. */
export function outlive<T extends OwnedTensor>(tensor: T): T {
  while (tensor.owner !== undefined) tensor.owner.keep(tensor);
  return tensor;
}

/** The innermost open scope. @internal */
export function currentScope(): Scope | undefined {
  return current;
}

function setOwner(tensor: OwnedTensor, owner: Scope | undefined): void {
  tensor.owner = owner;
  if (owner !== undefined) owner.add(tensor.handle);
  else finalizers.register(tensor, tensor.handle);
}

/** Assigns a new tensor to the innermost scope, or to the garbage collector. @internal */
export function adopt(tensor: OwnedTensor): void {
  if (current !== undefined) {
    tensor.owner = current;
    current.add(tensor.handle);
  } else finalizers.register(tensor, tensor.handle);
}

/** Releases a handle; does nothing if it was released already. @internal */
export function releaseHandle(handle: number): void {
  const native = addon();
  f64[0] = 1;
  f64[1] = handle;
  check(native.release());
}

function releaseHandles(handles: readonly number[]): void {
  const native = addon();
  if (isDebugMode()) recordDisposal(handles);
  const capacity = f64.length - 1;
  for (let from = 0; from < handles.length; from += capacity) {
    const n = Math.min(capacity, handles.length - from);
    f64[0] = n;
    for (let i = 0; i < n; i++) f64[i + 1] = handles[from + i]!;
    check(native.release());
  }
}
