// One source of events, many readers: each reads at its own pace, and misses nothing after its first read.

export class EventStream<T> {
  readonly #readers = new Set<Reader<T>>();
  #closed = false;

  push(event: T): void {
    for (const reader of this.#readers) reader.push(event);
  }

  /** Ends the current readers once they have read what is buffered. */
  end(): void {
    for (const reader of this.#readers) reader.end();
  }

  /** Ends current and future readers. */
  close(): void {
    this.#closed = true;
    this.end();
  }

  /** Events from now on. */
  read(): AsyncIterableIterator<T> {
    const reader = new Reader<T>(() => this.#readers.delete(reader));
    this.#readers.add(reader);
    if (this.#closed) reader.end();
    return reader;
  }
}

class Reader<T> implements AsyncIterableIterator<T> {
  readonly #buffer: T[] = [];
  readonly #onEnd: () => void;
  #pendingReads: ((result: IteratorResult<T>) => void)[] = [];
  #ended = false;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  push(value: T): void {
    const wanted = this.#pendingReads.shift();
    if (wanted) wanted({ value, done: false });
    else this.#buffer.push(value);
  }

  end(): void {
    this.#ended = true;
    this.#onEnd();
    for (const wanted of this.#pendingReads) wanted({ value: undefined, done: true });
    this.#pendingReads = [];
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#buffer.length > 0) return Promise.resolve({ value: this.#buffer.shift()!, done: false });
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#pendingReads.push(resolve));
  }

  return(): Promise<IteratorResult<T>> {
    this.#buffer.length = 0;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
