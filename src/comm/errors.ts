// What goes wrong between processes. A mistake in the arguments of a call is a UserError (checks.ts) and is found before
// anything is sent; a CommError is a call that was made and failed: a peer ended, or didn't come in time.

/** How native/comm describes a failed call. @internal */
export interface Failure {
  kind: "timeout" | "peer" | "other";
  message: string;
  group: string;
  collective: string;
  sequence: number;
  rank: number;
  elapsedSeconds: number;
}

/**
 * A collective or point-to-point call that failed. After one the group is unusable: every later call on it fails at
 * once with the same story.
 */
export class CommError extends Error {
  override name = "CommError";
  /** `timeout`: the others didn't come; `peer`: a connection broke, so a process ended. */
  readonly kind: "timeout" | "peer" | "other";
  /** The group's name. */
  readonly group: string;
  /** For example `allReduce`. */
  readonly collective: string;
  /** The how-manieth collective of the group this was, from 1; the same number on every rank. */
  readonly sequence: number;
  /** This process's rank in the world. */
  readonly rank: number;
  readonly elapsedSeconds: number;

  constructor(failure: Failure) {
    super(failure.message);
    this.kind = failure.kind;
    this.group = failure.group;
    this.collective = failure.collective;
    this.sequence = failure.sequence;
    this.rank = failure.rank;
    this.elapsedSeconds = failure.elapsedSeconds;
  }
}
