// Progress of anything but training steps, as text: one line per tenth, so that a log stays short.

export class ProgressText {
  #label: string | undefined;
  #tenth = 0;

  /** The line to print, or undefined until the next tenth is reached. */
  next(done: number, total: number, label: string): string | undefined {
    if (!(total > 0)) return undefined;
    if (label !== this.#label || done <= 1) this.#tenth = 0;
    this.#label = label;
    const tenth = Math.floor((10 * done) / total);
    if (tenth <= this.#tenth) return undefined;
    this.#tenth = tenth;
    return `${label === "" ? "" : `${label} `}${done}/${total}`;
  }
}
