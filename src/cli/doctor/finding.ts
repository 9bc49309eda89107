// One line of `forge doctor`: what was looked at, what was found, and what to do when that is wrong.

/** `note`: works, and there is something to know. `bad`: torchforge can't train until it is mended. */
export type Status = "ok" | "note" | "bad";

export interface Finding {
  /** Key in --json, and label on screen. */
  readonly name: string;
  readonly status: Status;
  /** For people, on one line. */
  readonly text: string;
  /** What to do; always there when the status is `bad`. */
  readonly todo?: string | undefined;
  /** For programs; bytes are numbers of bytes. */
  readonly data: Readonly<Record<string, unknown>>;
}

export function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
