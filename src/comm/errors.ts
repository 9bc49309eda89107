// Errors of communication. Wrong arguments are a UserError, thrown before anything is sent (checks.ts). A CommError is a call
// that was made and failed: a peer died, or timed out. What libtorch refused for another reason is a TorchError.
import { TorchError } from "../torch/index.ts";
import { UserError } from "../util/index.ts";

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
 * with the same message. It is no bug of the program that called it, so commands and the notebook show it without its stack.
 */
export class CommError extends UserError {
  override name = "CommError";
  /** `timeout`: another rank didn't join the call in time; `peer`: a connection broke, or a rank gives no sign of life. */
  readonly kind: "timeout" | "peer";
  readonly group: string;
  /** The collective's name, such as `allReduce`. */
  readonly collective: string;
  /** Index of the call among the group's collectives, from 1; the same number on every rank. */
  readonly sequence: number;
  /** This process's global rank. */
  readonly rank: number;
  readonly elapsedSeconds: number;

  constructor(kind: CommError["kind"], failure: Omit<Failure, "kind">) {
    super(failure.message);
    this.kind = kind;
    this.group = failure.group;
    this.collective = failure.collective;
    this.sequence = failure.sequence;
    this.rank = failure.rank;
    this.elapsedSeconds = failure.elapsedSeconds;
  }
}

/** The error of a failed call. @internal */
export function errorOf({ kind, ...failure }: Failure): CommError | TorchError {
  return kind === "other"
    ? new TorchError(failure.message, failure.collective)
    : new CommError(kind, failure);
}
