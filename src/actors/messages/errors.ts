// Errors of actors: how they cross between processes with name, message, stack and rank; a worker's death; and how later
// errors are attached to the first.
import { asError, messageOf, UserError } from "../../util/index.ts";

/** An error on its way to the controller. */
export interface WireError {
  name: string;
  message: string;
  stack: string | undefined;
  /** A user's mistake: shown without its stack. */
  isUserError: boolean;
  exitCode: 1 | 2;
  cause: WireError | undefined;
}

/** A worker process ended by itself or was killed. The message says all there is to say, so it is shown without a stack. */
export class WorkerDied extends UserError {
  override name = "WorkerDied";
  readonly rank: number;

  constructor(rank: number, message: string) {
    super(message);
    this.rank = rank;
  }
}

/** What an error of an actor has besides its name, message and stack. */
export interface ActorErrorFacts {
  /** The rank that it came from. */
  rank?: number;
  /** Errors that came after it, such as those of its cleanup. */
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

/** @param origin put before the message where there are several ranks, e.g. `rank 1` */
export function fromWire(wire: WireError, rank: number, origin?: string): Error & ActorErrorFacts {
  const message = origin === undefined ? wire.message : `${origin}: ${wire.message}`;
  const cause = wire.cause === undefined ? undefined : fromWire(wire.cause, rank);
  if (wire.isUserError) {
    const error: UserError & ActorErrorFacts = new UserError(message, { cause, exitCode: wire.exitCode });
    error.rank = rank;
    return error;
  }
  const error: Error & ActorErrorFacts = new Error(message, cause === undefined ? undefined : { cause });
  Object.defineProperty(error, "name", { value: wire.name, configurable: true, writable: true });
  if (wire.stack !== undefined) error.stack = wire.stack.replace(wire.message, () => message);
  error.rank = rank;
  return error;
}

/** The first error wins; the others are attached to it: in `suppressed`, and at the end of what it says. */
export function attach(first: Error & ActorErrorFacts, later: readonly unknown[]): Error {
  const others = later.filter((one) => one !== first);
  if (others.length === 0) return first;
  const errors = others.map(asError);
  first.suppressed = [...(first.suppressed ?? []), ...errors];
  say(first, errors.map((one) => `\nThen also: ${messageOf(one)}`).join(""));
  return first;
}

/** Adds to the end of what an error says, also at the head of its stack, which is what most programs print. */
export function say(error: Error, more: string): void {
  const { message, stack } = error; // V8 writes the stack when it is first read
  error.message += more;
  if (stack !== undefined) error.stack = stack.replace(message, () => error.message);
}

/** What a worker wrote last, and where the rest is: lines for the end of a message. */
export function lastWords(lines: readonly string[], logFile: string | undefined): string[] {
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

export interface Death {
  rank: number;
  /** Of the mesh; with several the rank is named. */
  worldSize: number;
  code: number | null;
  signal: NodeJS.Signals | null;
  /** It was told to end, after the cleanup. */
  wasAsked?: boolean;
  /** What it wrote last, and where the rest is. */
  lastWords: readonly string[];
}

const otherSignal = "If you didn't end it, another program on this machine did.";
const byItself =
  "It called process.exit(), or an error that nothing caught ended it: what it wrote last says which.";

export function workerDied(death: Death): WorkerDied {
  const { rank, worldSize, code, signal } = death;
  const who = worldSize > 1 ? `the worker process of rank ${rank}` : "the worker process";
  if (death.wasAsked === true && signal === null)
    return new WorkerDied(
      rank,
      `the actor was cleaned up before ${who} could answer; await the call, then clean up`,
    );
  const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
  const hint = signal === null ? byItself : (exitHints[signal] ?? otherSignal);
  return new WorkerDied(rank, [`${who} ${how}. ${hint}`, ...death.lastWords].join("\n"));
}
