// A call in flight. `await work` lets the event loop run; `work.wait()` blocks, for use inside a training step. Both give
// the call's result, or throw its CommError; both may be used more than once.
import { CommError } from "./errors.ts";
import { later, native, now } from "./native.ts";

// Calls that nobody waits for any more; their native part must not stay for ever.
const forgotten = new FinalizationRegistry<number>((id) => native().commWorkRelease(id));

export class Work<T> implements PromiseLike<T> {
  readonly #id: number;
  readonly #result: () => T;
  #outcome: { value: T } | { error: CommError } | undefined;
  #promise: Promise<T> | undefined;

  /** @internal */
  constructor(id: number, result: () => T) {
    this.#id = id;
    this.#result = result;
    forgotten.register(this, id, this);
  }

  /** Blocks until the call is done and gives its result. @throws CommError */
  wait(): T {
    if (this.#outcome === undefined) this.#settle(now(native().commWorkWait(this.#id)));
    return this.#value();
  }

  /** Whether waiting would return at once. */
  isCompleted(): boolean {
    return this.#outcome !== undefined || now(native().commWorkDone(this.#id));
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
      const failure = await later(native().commWorkWaitAsync(this.#id));
      // wait() may have been called in the meantime.
      if (this.#outcome === undefined) this.#settle(failure);
    }
    return this.#value();
  }

  #settle(failure: ConstructorParameters<typeof CommError>[0] | undefined): void {
    forgotten.unregister(this);
    native().commWorkRelease(this.#id);
    this.#outcome = failure === undefined ? { value: this.#result() } : { error: new CommError(failure) };
  }

  #value(): T {
    if ("error" in this.#outcome!) throw this.#outcome.error;
    return this.#outcome!.value;
  }
}

/** Milliseconds that this process has waited for calls so far, those of differentiable ones and of backward passes included. */
export function waitedMilliseconds(): number {
  return now(native().commWorkWaited());
}

/** The number of calls in flight that somebody still holds. */
export function worksInFlight(): number {
  return now(native().commWorksLive());
}
