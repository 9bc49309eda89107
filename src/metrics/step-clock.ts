// Times steps: tokens per second, time left. Knows nothing of what a step does.

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
  /** Wall times of the last steps; the first step of a run is left out, because it warms up. */
  #recent: number[] = [];
  #isFirst = true;

  /**
   * @param steps steps of the whole run
   * @param tokensBefore tokens of the steps before a resume
   * @param now milliseconds; for tests
   */
  constructor(steps: number, tokensBefore = 0, now: () => number = () => performance.now()) {
    this.#steps = steps;
    this.#tokens = tokensBefore;
    this.#now = now;
    this.#last = now();
  }

  /** Sets the start of the next step, after something that is no step (evaluation, saving). */
  restart(): void {
    this.#last = this.#now();
  }

  /** Ends a step that had `tokens` tokens. */
  tick(step: number, tokens: number): StepTiming {
    const now = this.#now();
    const seconds = (now - this.#last) / 1000;
    this.#last = now;
    this.#tokens += tokens;
    if (this.#isFirst) this.#isFirst = false;
    else this.#recent = [...this.#recent, seconds].slice(-20);
    const usual = this.#recent.length === 0 ? seconds : median(this.#recent);
    return {
      step_seconds: seconds,
      tokens_per_second: seconds > 0 ? tokens / seconds : 0,
      seconds_left: usual * Math.max(0, this.#steps - step),
      num_tokens: this.#tokens,
    };
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
