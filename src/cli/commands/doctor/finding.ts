// One line of `forge doctor`: what was checked, what was found, and what to do about it.

/** `note`: works, with a remark. `bad`: must be fixed before torchforge can train. */
export type Status = "ok" | "note" | "bad";

export interface Finding {
  /** The key in --json, and the label on screen. */
  readonly name: string;
  readonly status: Status;
  /** One line for people. */
  readonly text: string;
  /** What to do; always set if the status is `bad`. */
  readonly todo?: string | undefined;
  /** For programs; sizes in bytes. */
  readonly data: Readonly<Record<string, unknown>>;
}

export function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
