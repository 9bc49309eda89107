// One source of events, many readers: each reads at its own pace and misses nothing from when it began.

export class EventStream<T> {
  readonly #readers = new Set<Reader<T>>();
  #closed = false;

  push(event: T): void {
    for (const reader of this.#readers) reader.push(event);
  }

  /** Ends all that read now, once they have read what came before. */
  end(): void {
    for (const reader of this.#readers) reader.end();
  }

  /** Nothing more will come: also who reads from now on is at the end. */
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
  readonly #waiting: T[] = [];
  readonly #onEnd: () => void;
  #wanted: ((result: IteratorResult<T>) => void)[] = [];
  #ended = false;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  push(value: T): void {
    const wanted = this.#wanted.shift();
    if (wanted) wanted({ value, done: false });
    else this.#waiting.push(value);
  }

  end(): void {
    this.#ended = true;
    this.#onEnd();
    for (const wanted of this.#wanted) wanted({ value: undefined, done: true });
    this.#wanted = [];
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#waiting.length > 0) return Promise.resolve({ value: this.#waiting.shift()!, done: false });
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#wanted.push(resolve));
  }

  return(): Promise<IteratorResult<T>> {
    this.#waiting.length = 0;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
