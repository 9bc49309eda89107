// Errors of communication. Wrong arguments are a UserError, thrown before anything is sent (checks.ts). A CommError is a call
// that was made and failed: a peer died, or timed out.

/** A failed call, as native/comm describes it. @internal */
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
 * A collective or point-to-point call that failed. The group is unusable afterwards: every later call on it fails at once
 * with the same message.
 */
export class CommError extends Error {
  override name = "CommError";
  /** `timeout`: another rank didn't join the call in time; `peer`: a connection broke, because a process died. */
  readonly kind: "timeout" | "peer" | "other";
  readonly group: string;
  /** The collective's name, such as `allReduce`. */
  readonly collective: string;
  /** Index of the call among the group's collectives, from 1; the same number on every rank. */
  readonly sequence: number;
  /** This process's global rank. */
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
