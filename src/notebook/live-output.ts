// One output below a cell that changes in place: drawn anew when its content has changed, but only a few times a second, and
// the more seldom the longer drawing takes.
import { AsyncLocalStorage } from "node:async_hooks";

/** What outputs are shown on; a running kernel is one. */
export interface Screen {
  display(message: {
    readonly data: Readonly<Record<string, unknown>>;
    readonly displayId?: string;
    /** Replaces what is shown under displayId. */
    readonly update?: boolean;
  }): void;
  /** Until it is disposed, an interrupt of the cell calls the handler. */
  onInterrupt(handler: () => void): Disposable;
}

/** Of the time, at most this part is spent drawing. */
const share = 0.005;

export class LiveOutput {
  readonly #screen: Screen;
  readonly #draw: () => Readonly<Record<string, string>>;
  readonly #displayId: string;
  readonly #shortestMs: number;
  /** What a later event shows still belongs to the cell that this was made in. */
  readonly #inCell = AsyncLocalStorage.snapshot();
  #isShown = false;
  #timer: NodeJS.Timeout | undefined;
  #nextAt = 0;

  /** @param shortestMs from one drawing to the next, at least */
  constructor(
    screen: Screen,
    displayId: string,
    draw: () => Readonly<Record<string, string>>,
    shortestMs = 500,
  ) {
    this.#shortestMs = shortestMs;
    this.#screen = screen;
    this.#displayId = displayId;
    this.#draw = draw;
  }

  /** The content is another now. */
  changed(): void {
    if (this.#timer !== undefined) return;
    const wait = this.#nextAt - performance.now();
    if (wait <= 0) this.flush();
    else this.#timer = setTimeout(() => this.flush(), wait);
  }

  /** Shows the content as it is. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const begin = performance.now();
    const message = { data: this.#draw(), displayId: this.#displayId, update: this.#isShown };
    this.#inCell(() => this.#screen.display(message));
    this.#isShown = true;
    const end = performance.now();
    this.#nextAt = end + Math.max(this.#shortestMs, (end - begin) / share);
  }

  /** Shows what was not shown yet, and changes nothing more. */
  end(): void {
    if (this.#timer !== undefined) this.flush();
  }
}
