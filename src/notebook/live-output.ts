// An output below a cell that is updated in place: redrawn when its content has changed, at most a few times a second, and less
// often if drawing is slow.
import { AsyncLocalStorage } from "node:async_hooks";

/** Where outputs are shown, such as a running kernel. */
export interface Screen {
  display(message: {
    readonly data: Readonly<Record<string, unknown>>;
    readonly displayId?: string;
    /** Replaces the output with this displayId. */
    readonly update?: boolean;
  }): void;
  /** Until disposed, an interrupt of the cell calls the handler. */
  onInterrupt(handler: () => void): Disposable;
}

/** Maximum fraction of the time that is spent drawing. */
const maxDrawShare = 0.005;

export class LiveOutput {
  readonly #screen: Screen;
  readonly #draw: () => Readonly<Record<string, string>>;
  readonly #displayId: string;
  readonly #minIntervalMs: number;
  /** Later events run in other contexts, but their output belongs to the cell that created this. */
  readonly #inCell = AsyncLocalStorage.snapshot();
  #isShown = false;
  #timer: NodeJS.Timeout | undefined;
  #nextAt = 0;

  /** @param minIntervalMs minimum time between two drawings */
  constructor(
    screen: Screen,
    displayId: string,
    draw: () => Readonly<Record<string, string>>,
    minIntervalMs = 500,
  ) {
    this.#minIntervalMs = minIntervalMs;
    this.#screen = screen;
    this.#displayId = displayId;
    this.#draw = draw;
  }

  /** Redraws soon, because the content has changed. */
  requestUpdate(): void {
    if (this.#timer !== undefined) return;
    const wait = this.#nextAt - performance.now();
    if (wait <= 0) this.flush();
    else this.#timer = setTimeout(() => this.flush(), wait);
  }

  /** Redraws now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const begin = performance.now();
    const message = { data: this.#draw(), displayId: this.#displayId, update: this.#isShown };
    this.#inCell(() => this.#screen.display(message));
    this.#isShown = true;
    const end = performance.now();
    this.#nextAt = end + Math.max(this.#minIntervalMs, (end - begin) / maxDrawShare);
  }

  /** Draws a pending change. */
  end(): void {
    if (this.#timer !== undefined) this.flush();
  }
}
