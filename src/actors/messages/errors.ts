// Errors of actors: how they cross between processes with name, message, stack and rank; how a worker's death is reported; and
// how later errors are attached to the first.
import { asError, messageOf, UserError } from "../../util/index.ts";

/** An error as it is sent to the controller. */
export interface WireError {
  name: string;
  message: string;
  stack: string | undefined;
  /** A user's mistake: shown without its stack. */
  isUserError: boolean;
  exitCode: 1 | 2;
  cause: WireError | undefined;
}

/** A worker process exited or was killed. Shown without a stack, which would say nothing that the message doesn't. */
export class WorkerDied extends UserError {
  override name = "WorkerDied";
  readonly rank: number;

  constructor(rank: number, message: string) {
    super(message);
    this.rank = rank;
  }
}

/** What an actor's error has besides its name, message and stack. */
export interface ActorErrorFacts {
  /** The rank that it came from. */
  rank?: number;
  /** Later errors, such as those of the cleanup. */
  suppressed?: Error[];
}

export function toWire(error: unknown, depth = 0): WireError {
  const known = asError(error);
  const isUserError = known instanceof UserError;
  return {
    name: known.name,
    message: known.message,
    stack: known.stack,
    isUserError,
    exitCode: isUserError ? known.exitCode : 1,
    cause: known.cause === undefined || depth > 4 ? undefined : toWire(known.cause, depth + 1),
  };
}

/** @param origin prefix of the message when there are several ranks, e.g. `rank 1` */
export function fromWire(wire: WireError, rank: number, origin?: string): Error & ActorErrorFacts {
  const message = origin === undefined ? wire.message : `${origin}: ${wire.message}`;
  const cause = wire.cause === undefined ? undefined : fromWire(wire.cause, rank);
  if (wire.isUserError) {
    const error: UserError & ActorErrorFacts = new UserError(message, { cause, exitCode: wire.exitCode });
    error.name = wire.name;
    error.rank = rank;
    return error;
  }
  const error: Error & ActorErrorFacts = new Error(message, cause === undefined ? undefined : { cause });
  Object.defineProperty(error, "name", { value: wire.name, configurable: true, writable: true });
  if (wire.stack !== undefined) error.stack = wire.stack.replace(wire.message, () => message);
  error.rank = rank;
  return error;
}

/** The first error is the one thrown; the others go into its `suppressed` and to the end of its message. */
export function attachErrors(first: Error & ActorErrorFacts, later: readonly unknown[]): Error {
  const others = later.filter((one) => one !== first);
  if (others.length === 0) return first;
  const errors = others.map(asError);
  first.suppressed = [...(first.suppressed ?? []), ...errors];
  appendToMessage(first, errors.map((one) => `\nThen also: ${messageOf(one)}`).join(""));
  return first;
}

/** Appends to an error's message, also to the copy at the head of its stack, which is what most programs print. */
export function appendToMessage(error: Error, more: string): void {
  const { message, stack } = error; // V8 formats the stack on first read, so before the message changes
  error.message += more;
  if (stack !== undefined) error.stack = stack.replace(message, () => error.message);
}

/** The last lines that a worker wrote, and where its log is: for the end of an error message. */
export function lastOutput(lines: readonly string[], logFile: string | undefined): string[] {
  const last = lines.join("\n").trim();
  return [
    ...(last === "" ? [] : [`Its last lines:\n${last}`]),
    ...(logFile === undefined ? [] : [`Its log: ${logFile}`]),
  ];
}

const exitHints: Readonly<Record<string, string>> = {
  SIGKILL:
    "If you didn't end it, the system most likely ran out of memory: lower training.local_batch_size or training.seq_len.",
  SIGSEGV:
    "That is a fault in native code; `npx torchforge doctor` shows whether libtorch and the addon fit.",
  SIGABRT:
    "That is a fault in native code; `npx torchforge doctor` shows whether libtorch and the addon fit.",
  SIGBUS: "Most likely a disk or /dev/shm is full.",
  SIGILL: "The addon was compiled for another processor; `npx torchforge setup` compiles it again.",
};

export interface WorkerExit {
  rank: number;
  /** With more than one process, the message names the rank. */
  worldSize: number;
  code: number | null;
  signal: string | null;
  /** The controller had asked it to exit, after the cleanup. */
  wasRequested?: boolean;
  /** The last lines it wrote, and where its log is. */
  lastOutput: readonly string[];
}

const otherSignalHint = "If you didn't end it, another program on this machine did.";
const endedByItselfHint =
  "It called process.exit(), or an error that nothing caught ended it: what it wrote last says which.";

export function workerDied(death: WorkerExit): WorkerDied {
  const { rank, worldSize, code, signal } = death;
  const who = worldSize > 1 ? `the worker process of rank ${rank}` : "the worker process";
  if (death.wasRequested === true && signal === null)
    return new WorkerDied(
      rank,
      `the actor was cleaned up before ${who} could answer; await the call, then clean up`,
    );
  const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
  const hint = signal === null ? endedByItselfHint : (exitHints[signal] ?? otherSignalHint);
  return new WorkerDied(rank, [`${who} ${how}. ${hint}`, ...death.lastOutput].join("\n"));
}
