// Ownership of tensors. A tensor ends when its scope ends, when it is disposed of, or when it is garbage collected,
// whichever is first. This file holds the stack of scopes and the finalizer; it knows handles, not what they mean.
import { addon, check, control, f64, isLoaded } from "./addon/addon.ts";
import { isDebugMode, noteDisposal } from "./errors.ts";

/** What this file needs of a tensor. */
export interface Owned {
  readonly handle: number;
  /** Whose end is the tensor's end; undefined: the garbage collector's care. */
  owner: Scope | undefined;
}

// Handles of collected tensors, released together: one native call for all that a collection found.
let collected: number[] = [];
const finalizers = new FinalizationRegistry<number>((handle) => {
  if (collected.length === 0) setImmediate(releaseCollected);
  collected.push(handle);
});

function releaseCollected(): void {
  const handles = collected;
  collected = [];
  releaseMany(handles);
}

// Grows with every turn of the event loop (or microtask) in which a scope began: tells scopes of one synchronous stretch
// of code from those of others.
let turn = 0;
let turnIsNew = true;

/**
 * Ends the tensors made inside it, but for those that `keep` moved out. Made by `scope()`, ended by `using`.
 *
 * Scopes end in the reverse order of their beginning; one that ends early takes the scopes begun inside it along. A scope
 * may stay open across `await`, as long as no other asynchronous code makes tensors or scopes meanwhile: tensors belong
 * to the innermost open scope, whoever makes them. Where two flows' scopes cross, each ends only its own tensors, and the
 * process warns (TORCHFORGE_SCOPES).
 */
export class Scope implements Disposable {
  readonly #parent: Scope | undefined;
  readonly #turn: number;
  #handles: number[] = [];
  #kept: Set<number> | undefined;
  #ended = false;

  constructor(parent: Scope | undefined) {
    this.#parent = parent;
    if (turnIsNew) {
      turn++;
      turnIsNew = false;
      queueMicrotask(() => (turnIsNew = true));
    }
    this.#turn = turn;
  }

  /** @internal */
  add(handle: number): void {
    this.#handles.push(handle);
  }

  /**
   * Moves a tensor that was made in this scope (or in one inside it) out, into the scope around it, or to the garbage
   * collector's care where there is none. A tensor from elsewhere stays where it is. Returns the tensor.
   */
  keep<T extends Owned>(tensor: T): T {
    let inside = tensor.owner;
    while (inside !== undefined && inside !== this) inside = inside.#parent;
    if (inside === undefined) return tensor;
    // Out of every scope between the one that owns it and this one.
    for (let from = tensor.owner; from !== undefined; from = from === this ? undefined : from.#parent)
      (from.#kept ??= new Set()).add(tensor.handle);
    give(tensor, this.#openParent());
    return tensor;
  }

  #openParent(): Scope | undefined {
    let parent = this.#parent;
    while (parent !== undefined && parent.#ended) parent = parent.#parent;
    return parent;
  }

  /** Ends the scope now. A second call does nothing. */
  [Symbol.dispose](): void {
    if (this.#ended) return;
    for (let open = current; open !== undefined && open !== this; open = open.#parent) {
      if (open.#turn === this.#turn) open.#release();
      else if (!open.#ended) warnOfCrossing();
    }
    this.#release();
    while (current !== undefined && current.#ended) current = current.#parent;
    if (current === undefined && isLoaded()) control[0] = 0;
  }

  #release(): void {
    if (this.#ended) return;
    this.#ended = true;
    const kept = this.#kept;
    const handles = this.#handles;
    this.#handles = [];
    if (handles.length === 0) return;
    releaseMany(kept === undefined ? handles : handles.filter((handle) => !kept.has(handle)));
  }
}

let warned = false;
function warnOfCrossing(): void {
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
 * Begins a scope. Tensors made until it ends are released at its end.
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
 * Moves a tensor out of the innermost scope; does nothing where there is none. Returns the tensor.
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
export function keep<T extends Owned>(tensor: T): T {
  return current === undefined ? tensor : current.keep(tensor);
}

/** The scope that a new tensor belongs to. @internal */
export function currentScope(): Scope | undefined {
  return current;
}

function give(tensor: Owned, owner: Scope | undefined): void {
  tensor.owner = owner;
  if (owner !== undefined) owner.add(tensor.handle);
  else finalizers.register(tensor, tensor.handle);
}

/** A new tensor belongs to the innermost scope, or to the garbage collector. @internal */
export function own(tensor: Owned): void {
  if (current !== undefined) {
    tensor.owner = current;
    current.add(tensor.handle);
  } else finalizers.register(tensor, tensor.handle);
}

/** Releases a handle; one that isn't alive any more is passed over. @internal */
export function releaseOne(handle: number): void {
  const native = addon();
  f64[0] = 1;
  f64[1] = handle;
  check(native.release());
}

function releaseMany(handles: readonly number[]): void {
  const native = addon();
  if (isDebugMode()) noteDisposal(handles);
  const room = f64.length - 1;
  for (let from = 0; from < handles.length; from += room) {
    const n = Math.min(room, handles.length - from);
    f64[0] = n;
    for (let i = 0; i < n; i++) f64[i + 1] = handles[from + i]!;
    check(native.release());
  }
}
