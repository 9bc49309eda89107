// The options that every collective takes, and its return type: the result, or with {async: true} a Work.
import { checkGroup } from "./checks.ts";
import type { Target } from "./operators.ts";
import type { ProcessGroup } from "./process-group.ts";
import { checkTimeout, milliseconds } from "./store.ts";
import { Work } from "./work.ts";

export interface CallOptions {
  /** Default: the group of all ranks. */
  group?: ProcessGroup;
  /** Default: the group's. */
  timeoutSeconds?: number;
  /** Return a `Work` at once instead of waiting. Don't touch the tensors until it is done. */
  async?: boolean;
}

/** T, or with {async: true} a Work<T>. */
export type Result<T, O> = "async" extends keyof O
  ? O["async"] extends true
    ? Work<T>
    : O["async"] extends false | undefined
      ? T
      : T | Work<T>
  : T;

/** Resolves the options to the group and the native call's target. */
export function target(call: string, options: CallOptions): { group: ProcessGroup; to: Target } {
  const group = checkGroup(call, options.group);
  const timeoutMs =
    options.timeoutSeconds === undefined
      ? -1
      : milliseconds(checkTimeout(`${call}: timeoutSeconds`, options.timeoutSeconds));
  return { group, to: { group: group.name, timeoutMs } };
}

/** Waits for the call and returns its result, or returns its Work. */
export function complete<T, O extends CallOptions>(work: number, options: O, result: () => T): Result<T, O> {
  const handle = new Work(work, result);
  return (options.async === true ? handle : handle.wait()) as Result<T, O>;
}
