// A collective in flight. `await work` lets the event loop run; `work.wait()` blocks, for use inside a training step. Both
// give the result or throw a CommError, and both may be used repeatedly.
import type { TorchError } from "../torch/index.ts";
import { type CommError, errorOf, type Failure } from "./errors.ts";
import { awaitNative, native, checked } from "./native.ts";

// Releases the native part of works that are garbage-collected without being waited for.
const abandonedWorks = new FinalizationRegistry<number>((id) => native().commWorkRelease(id));

export class Work<T> implements PromiseLike<T> {
  readonly #id: number;
  readonly #result: () => T;
  #outcome: { value: T } | { error: CommError | TorchError } | undefined;
  #promise: Promise<T> | undefined;

  /** @internal */
  constructor(id: number, result: () => T) {
    this.#id = id;
    this.#result = result;
    abandonedWorks.register(this, id, this);
  }

  /** Blocks until the call is done, and returns its result. @throws CommError */
  wait(): T {
    if (this.#outcome === undefined) this.#settle(checked(native().commWorkWait(this.#id)));
    return this.#value();
  }

  /** Whether the call is done, so that waiting returns at once. */
  isCompleted(): boolean {
    return this.#outcome !== undefined || checked(native().commWorkDone(this.#id));
  }

  // oxlint-disable-next-line unicorn/no-thenable -- being awaitable is what it is for
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#promise ??= this.#wait();
    return this.#promise.then(onFulfilled, onRejected);
  }

  async #wait(): Promise<T> {
    if (this.#outcome === undefined) {
      const failure = await awaitNative(native().commWorkWaitAsync(this.#id));
      // wait() may have been called in the meantime.
      if (this.#outcome === undefined) this.#settle(failure);
    }
    return this.#value();
  }

  #settle(failure: Failure | undefined): void {
    abandonedWorks.unregister(this);
    native().commWorkRelease(this.#id);
    this.#outcome = failure === undefined ? { value: this.#result() } : { error: errorOf(failure) };
  }

  #value(): T {
    if ("error" in this.#outcome!) throw this.#outcome.error;
    return this.#outcome!.value;
  }
}

/** Total milliseconds that this process has waited for collectives, including those of backward passes. */
export function waitedMilliseconds(): number {
  return checked(native().commWorkWaited());
}

/** The number of Work objects that are neither done nor garbage-collected. */
export function worksInFlight(): number {
  return checked(native().commWorksLive());
}
