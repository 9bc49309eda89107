// Measures steps: tokens per second, time left.

export interface StepTiming {
  step_seconds: number;
  tokens_per_second: number;
  seconds_left: number;
  num_tokens: number;
}

export class StepClock {
  readonly #steps: number;
  readonly #now: () => number;
  #last: number;
  #tokens: number;
  /** Wall times of the latest steps, without the run's first, which includes warm-up. */
  #recent: number[] = [];
  #isFirst = true;

  /**
   * @param steps total steps of the run
   * @param tokensBefore tokens of the steps before a resume
   * @param now clock in milliseconds; for tests
   */
  constructor(steps: number, tokensBefore = 0, now: () => number = () => performance.now()) {
    this.#steps = steps;
    this.#tokens = tokensBefore;
    this.#now = now;
    this.#last = now();
  }

  /** Starts the next step now, so that evaluation and saving aren't counted. */
  restart(): void {
    this.#last = this.#now();
  }

  /** Ends a step of `tokens` tokens. */
  tick(step: number, tokens: number): StepTiming {
    const now = this.#now();
    const seconds = (now - this.#last) / 1000;
    this.#last = now;
    this.#tokens += tokens;
    if (this.#isFirst) this.#isFirst = false;
    else this.#recent = [...this.#recent, seconds].slice(-20);
    const typicalSeconds = this.#recent.length === 0 ? seconds : median(this.#recent);
    return {
      step_seconds: seconds,
      tokens_per_second: seconds > 0 ? tokens / seconds : 0,
      seconds_left: typicalSeconds * Math.max(0, this.#steps - step),
      num_tokens: this.#tokens,
    };
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
